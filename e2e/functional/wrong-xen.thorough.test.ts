// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { nodeLibrary } from "../../native/build/node-library.ts";
import { Box } from "../box/box.ts";
import { Crictl } from "../framework/crictl.ts";
import { Daemon } from "../framework/daemon.ts";
import { tracesOfPods } from "../framework/traces.ts";

const UNKNOWN = "this Xen's domctl interface is not one of 4.17 to 4.20";

/** Xen 4.14, of Debian 11, below the dom0 of all the other tests. */
describe("a Xen that is too old", () => {
  let box: Box;
  let crictl: Crictl;
  beforeAll(async () => {
    const library = await nodeLibrary();
    const memory = { memoryMib: 2048, dom0MemoryMib: 1024 };
    box = await Box.up({ name: "old-xen", xen: "4.14", library, ...memory });
    crictl = new Crictl(box);
    await new Daemon(box).start();
  });
  afterAll(async () => await box.down());

  it("is what Status gives as the reason why no pod can run", async () => {
    expect(await crictl.must(["info"])).toContain(UNKNOWN);
  });

  it("is what RunPodSandbox fails with, and nothing is left", async () => {
    const before = await tracesOfPods(box);
    const message = await crictl.refusedPod({ name: "refused" });
    expect(message).toMatch(/Unavailable/);
    expect(message).toContain(UNKNOWN);
    expect(await tracesOfPods(box)).toEqual(before);
  });

  it("is what doctor finds", async () => {
    const { code, stdout } = await box.exec("lightvm doctor");
    expect(code).toBe(1);
    expect(stdout).toMatch(/^fail {2}Xen version +4\.14/m);
    expect(stdout).toMatch(/This host cannot run pods yet/);
  });
});
