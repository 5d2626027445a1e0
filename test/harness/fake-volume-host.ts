// SPDX-License-Identifier: Apache-2.0
import { chmodSync, openSync, writeFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import type { VolumeHost, VolumeOptions } from "../../src/toolstack/volume-host.ts";
import type { ProcessIdentity } from "../../src/vmm/process-identity.ts";

/** Writes down what shall be mounted: no test that runs without a box needs to be root. */
export class FakeVolumeHost implements VolumeHost {
  /** Name of a volume → its source, how it is mounted, and by whom it is served. */
  readonly mounted: Map<string, { source: string; options: VolumeOptions; server: number }> =
    new Map();

  socketPair(): [number, number] {
    return [openSync("/dev/null", "r"), openSync("/dev/null", "r")];
  }

  async mountVolume(
    { pid: server }: ProcessIdentity,
    source: string,
    name: string,
    options: VolumeOptions,
  ): Promise<void> {
    await stat(source);
    this.mounted.set(name, { source, options, server });
  }

  async unmountVolume(_server: ProcessIdentity, name: string): Promise<void> {
    this.mounted.delete(name);
  }

  async volumes({ pid }: ProcessIdentity): Promise<ReadonlyMap<string, boolean>> {
    const own = [...this.mounted].filter(([, { server }]) => server === pid);
    return new Map(own.map(([name]) => [name, false]));
  }
}

/** A file server that is ready at once and serves nobody; its own path is in its command line. */
export function writeFakeFileServer(binary: string): void {
  writeFileSync(binary, '#!/bin/sh\necho ready >&3\nexec tail -q -n 0 -f "$0" >/dev/null\n');
  chmodSync(binary, 0o755);
}
