// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import type { ImageConfig } from "../../image/images.ts";
import type { ContainerConfig } from "../../pod/container-record.ts";
import { capabilitySet } from "./capabilities.ts";
import { mergeProcess } from "./process.ts";
import { signalNumber } from "./signals.ts";

const IMAGE: ImageConfig = {
  user: "www",
  entrypoint: ["/entry"],
  command: ["serve", "--all"],
  environment: ["PATH=/opt/bin", "A=image"],
  workingDirectory: "/srv",
  stopSignal: "SIGQUIT",
  volumes: [],
  exposedPorts: [],
  labels: {},
};

const SECURITY: ContainerConfig["security"] = {
  privileged: false,
  user: "",
  supplementalGroups: [],
  strictSupplementalGroups: false,
  addCapabilities: [],
  dropCapabilities: [],
  noNewPrivileges: false,
  readOnlyRoot: false,
  maskedPaths: [],
  readOnlyPaths: [],
  ambientCapabilities: [],
  seccomp: { kind: "unconfined" },
  namespaces: { pid: "container", ipc: "pod", pidTarget: "" },
};

function config(change: Partial<ContainerConfig>): ContainerConfig {
  return {
    name: "main",
    attempt: 0,
    image: { reference: "x", annotations: {}, userSpecifiedImage: "", runtimeHandler: "" },
    command: [],
    args: [],
    mounts: [],
    imageMounts: [],
    devices: [],
    workingDirectory: "",
    environment: [],
    labels: {},
    annotations: {},
    logPath: "",
    terminal: false,
    stdin: false,
    stdinOnce: false,
    stopSignal: "",
    resources: {
      cpuShares: 0,
      cpuQuotaMicroseconds: 0,
      cpuPeriodMicroseconds: 0,
      memoryLimitBytes: 0,
      memorySwapLimitBytes: 0,
      oomScoreAdjust: 0,
      cpusetCpus: "",
      cpusetMems: "",
      hugepageLimits: {},
      unified: {},
    },
    security: SECURITY,
    ...change,
  };
}

describe("the command line", () => {
  const none = { ...IMAGE, entrypoint: [] };
  it.each([
    [{}, IMAGE, ["/entry", "serve", "--all"]],
    [{ args: ["try"] }, IMAGE, ["/entry", "try"]],
    [{ command: ["/own"] }, IMAGE, ["/own"]],
    [{ command: ["/own"], args: ["x"] }, IMAGE, ["/own", "x"]],
    [{}, none, ["serve", "--all"]],
    [{ args: ["ls"] }, none, ["ls"]],
  ])("of %j", (change, image, words) => {
    expect(mergeProcess(config(change), image, "h").arguments).toEqual(words);
  });

  it("must be somewhere", () => {
    expect(() => mergeProcess(config({}), { ...none, command: [] }, "h")).toThrow(
      /container "main" has no command, and neither has its image/,
    );
  });
});

describe("the rest of the process", () => {
  it("is the image's where the request says nothing", () => {
    expect(mergeProcess(config({ terminal: true }), IMAGE, "web-0")).toMatchObject({
      environment: ["PATH=/opt/bin", "TERM=xterm", "HOSTNAME=web-0", "A=image"],
      workingDirectory: "/srv",
      user: "www",
      stopSignal: 3,
    });
  });

  it("is the request's where it says something", () => {
    const change = {
      environment: ["A=mine", "B="],
      workingDirectory: "/tmp",
      stopSignal: "SIGRTMIN+3",
      security: { ...SECURITY, user: "7:8" },
    };
    expect(mergeProcess(config(change), IMAGE, "h")).toMatchObject({
      environment: ["PATH=/opt/bin", "HOSTNAME=h", "A=mine", "B="],
      workingDirectory: "/tmp",
      user: "7:8",
      stopSignal: 37,
    });
  });
});

describe("capabilities", () => {
  const set = (add: string[], drop: string[], privileged = false) =>
    capabilitySet({ ...SECURITY, privileged, addCapabilities: add, dropCapabilities: drop });
  it("are the usual ones, with what is added and without what is dropped", () => {
    expect(set([], [])).toHaveLength(14);
    expect(set(["net_admin"], ["CAP_KILL"])).toContain("CAP_NET_ADMIN");
    expect(set(["net_admin"], ["CAP_KILL"])).not.toContain("CAP_KILL");
    expect(set([], ["ALL"])).toEqual([]);
    expect(set(["CHOWN"], ["ALL"])).toEqual(["CAP_CHOWN"]);
    expect(set(["ALL"], [])).toHaveLength(41);
    expect(set(["ALL"], ["SYS_ADMIN"])).not.toContain("CAP_SYS_ADMIN");
    expect(set([], ["ALL"], true)).toHaveLength(41);
  });
});

describe("signals", () => {
  it.each([
    ["SIGTERM", 15],
    ["term", 15],
    ["9", 9],
    ["SIGCLD", 17],
    ["SIGRTMIN", 34],
    ["SIGRTMAX-1", 63],
  ])("%s is %d", (name, number) => {
    expect(signalNumber(name)).toBe(number);
  });

  it.each(["", "SIGNONE", "0", "65", "SIGRTMAX+1"])("%j is none", (name) => {
    expect(() => signalNumber(name)).toThrow(/there is no signal/);
  });
});
