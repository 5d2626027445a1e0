// SPDX-License-Identifier: Apache-2.0
import { expect } from "vitest";
import { Box } from "../box/box.ts";
import type { CommandResult } from "../box/ssh.ts";
import { TEST_BOX, testBusybox } from "./box-for-tests.ts";
import { Crictl } from "./crictl.ts";
import { Daemon, type DaemonOptions } from "./daemon.ts";
import { busyboxImage, type OciImage } from "./oci-image.ts";
import { Registry } from "./registry.ts";
import { tracesOfPods } from "./traces.ts";

/** A node in the test box: lightvmd and a registry run, and a busybox image can be pulled. */
export class NodeUnderTest implements AsyncDisposable {
  readonly box: Box;
  readonly crictl: Crictl;
  readonly daemon: Daemon;
  readonly registry: Registry;
  /** Reference of the busybox image, already pushed. */
  readonly busybox: string;
  /** What there was before the first pod. */
  readonly tracesBefore: readonly string[];

  private constructor(
    parts: Pick<
      NodeUnderTest,
      "box" | "crictl" | "daemon" | "registry" | "busybox" | "tracesBefore"
    >,
  ) {
    this.box = parts.box;
    this.crictl = parts.crictl;
    this.daemon = parts.daemon;
    this.registry = parts.registry;
    this.busybox = parts.busybox;
    this.tracesBefore = parts.tracesBefore;
  }

  /** Starts both in the test box. */
  static async start(): Promise<NodeUnderTest> {
    const box = Box.named(TEST_BOX);
    await using undo = new AsyncDisposableStack();
    const registry = undo.use(await Registry.start(box));
    const busybox = await registry.push(
      "busybox",
      "latest",
      await busyboxImage(await testBusybox()),
    );
    const daemon = new Daemon(box);
    await daemon.start();
    undo.defer(async () => await daemon.end());
    const tracesBefore = await tracesOfPods(box);
    undo.move();
    return new NodeUnderTest({
      box,
      crictl: new Crictl(box),
      daemon,
      registry,
      busybox,
      tracesBefore,
    });
  }

  /** Runs lightvmd in another way for the time of `work`. */
  async daemonWith(options: DaemonOptions, work: () => Promise<void>): Promise<void> {
    await this.daemon.end();
    await this.daemon.start(options);
    try {
      await work();
    } finally {
      await this.daemon.end();
      await this.daemon.start();
    }
  }

  /** Runs a script on the node, which must succeed; its output, trimmed. */
  async onHost(script: string): Promise<string> {
    return outputOf(await this.box.exec(script), script);
  }

  /** Runs a script in a container, with whatever outcome. */
  async inside(container: string, script: string): Promise<CommandResult> {
    return await this.crictl.exec(container, ["/bin/busybox", "sh", "-c", script]);
  }

  /** The same, which must succeed; its output, trimmed. */
  async within(container: string, script: string): Promise<string> {
    return outputOf(await this.inside(container, script), script);
  }

  /** A variant of the busybox image, not yet pushed. */
  async busyboxImage(options: Parameters<typeof busyboxImage>[1]): Promise<OciImage> {
    return await busyboxImage(await testBusybox(), options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Of a test that failed: it is not to fail those behind it.
    await this.crictl.run(["rmp", "--force", "--all"], 120_000);
    await this.daemon.end();
    await this.registry[Symbol.asyncDispose]();
    await this.box.exec("rm -rf /var/log/pods /tmp/*.json");
  }
}

function outputOf({ code, stdout, stderr }: CommandResult, script: string): string {
  expect(`${code} ${stderr}`, script).toMatch(/^0 /);
  return stdout.trim();
}
