// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { parseMemory, UNIKERNEL_LABELS, unikernelOf } from "./unikernel.ts";

describe("the labels of a unikernel", () => {
  it("are those that have a kernel", () => {
    expect(unikernelOf({ maintainer: "me", [UNIKERNEL_LABELS.memory]: "8Mi" })).toBeUndefined();
    expect(unikernelOf({ [UNIKERNEL_LABELS.kernel]: "boot/../noop" })).toEqual({
      kernel: "/noop",
      commandLine: "",
      memoryBytes: 0,
      signOfLife: "sysctl",
      network: "virtio",
    });
  });

  it.each([
    [UNIKERNEL_LABELS.kernel, ""],
    [UNIKERNEL_LABELS.commandLine, "ip=é"],
    [UNIKERNEL_LABELS.commandLine, "two\nlines"],
    [UNIKERNEL_LABELS.memory, "lots"],
    [UNIKERNEL_LABELS.signOfLife, "smoke"],
    [UNIKERNEL_LABELS.network, "pigeons"],
  ])("%s cannot be %j", (name, value) => {
    const labels = { [UNIKERNEL_LABELS.kernel]: "/noop", [name]: value };
    expect(() => unikernelOf(labels)).toThrow(name);
  });

  it("sizes have units of 1024", () => {
    expect(["4096", "8Mi", "1Gi", "3Ki"].map(parseMemory)).toEqual([4096, 2 ** 23, 2 ** 30, 3072]);
    expect(["", "-1", "8MB", "1.5Gi", "9999999999999Gi"].map(parseMemory)).toEqual(
      Array.from({ length: 5 }),
    );
  });
});
