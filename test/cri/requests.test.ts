// SPDX-License-Identifier: Apache-2.0
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  ContainerState,
  MountPropagation,
} from "../../cri-proto/generated/runtime/v1/container.ts";
import { AuthConfig } from "../../cri-proto/generated/runtime/v1/image.ts";
import { PodSandboxState } from "../../cri-proto/generated/runtime/v1/sandbox.ts";
import { NamespaceMode } from "../../cri-proto/generated/runtime/v1/security.ts";
import { type ContainerWishes, CriClient, type PodWishes } from "../harness/cri-client.ts";
import { NodeBench } from "../harness/node-bench.ts";

let bench: NodeBench;
let cri: CriClient;
let pod: string;
beforeAll(async () => {
  bench = await NodeBench.start({ guest: "boots", runsContainers: true });
  cri = new CriClient(bench);
  pod = await cri.runPod({ labels: { app: "web", tier: "front" }, annotations: { "a/b": "c" } });
});
afterAll(async () => await bench[Symbol.asyncDispose]());

const other = (attempt: number) => ({ name: "web", namespace: "default", uid: "u1", attempt });

describe("a sandbox that cannot be", () => {
  const cases: [string, PodWishes, status, RegExp][] = [
    ["has no name", { metadata: { name: "" } }, status.INVALID_ARGUMENT, /metadata.name is empty/],
    [
      "wants the host's network",
      { linux: { securityContext: { namespaceOptions: { network: NamespaceMode.NODE } } } },
      status.INVALID_ARGUMENT,
      /host's network namespace \(mode NODE\) is not possible: the pod is a VM/,
    ],
    [
      "wants the host's processes",
      { linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.NODE } } } },
      status.INVALID_ARGUMENT,
      /host's pid namespace/,
    ],
    [
      "wants a host port that is none",
      { portMappings: [{ containerPort: 80, hostPort: 80800 }] },
      status.INVALID_ARGUMENT,
      /80800 is no port/,
    ],
    ["logs to a relative path", { logDirectory: "logs" }, status.INVALID_ARGUMENT, /not absolute/],
    ["has a name that is taken", {}, status.ALREADY_EXISTS, /has the name "web_default_u1_0"/],
    ["has a bad host name", { hostname: "a b" }, status.INVALID_ARGUMENT, /"a b" cannot be a host/],
    [
      "brings a line break into resolv.conf",
      { dnsConfig: { servers: ["1.1.1.1\nsearch evil"] } },
      status.INVALID_ARGUMENT,
      /config.dns_config.servers contains a line break/,
    ],
  ];
  it.each(cases)("%s", async (_name, config, code, details) => {
    await expect(cri.runPod(config)).rejects.toMatchObject({
      code,
      details: expect.stringMatching(details),
    });
  });

  it("names an unknown runtime handler", async () => {
    await expect(cri.runPod({ metadata: other(7) }, "runc")).rejects.toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: expect.stringMatching(/no runtime handler "runc"/),
    });
    expect(bench.toolstackBench.hypervisor.listDomains()).toHaveLength(1);
  });
});

describe("a container that cannot be", () => {
  const cases: [string, ContainerWishes, status, RegExp][] = [
    [
      "has a volume at a relative path",
      { mounts: [{ containerPath: "data", hostPath: "/srv" }] },
      status.INVALID_ARGUMENT,
      /container_path "data" is not absolute/,
    ],
    [
      "has a volume from nowhere",
      { mounts: [{ containerPath: "/data", hostPath: "" }] },
      status.INVALID_ARGUMENT,
      /host_path of the volume at "\/data" "" is not absolute/,
    ],
    [
      "has a volume over everything",
      { mounts: [{ containerPath: "/../", hostPath: "/srv" }] },
      status.INVALID_ARGUMENT,
      /would hide the whole image/,
    ],
    [
      "has a volume that shows its mounts to the node",
      {
        mounts: [
          {
            containerPath: "/data",
            hostPath: "/srv",
            propagation: MountPropagation.PROPAGATION_BIDIRECTIONAL,
          },
        ],
      },
      status.UNIMPLEMENTED,
      /bidirectional mount propagation: a pod has a kernel of its own/,
    ],
    [
      "has a volume that is read-only only below",
      { mounts: [{ containerPath: "/data", hostPath: "/srv", recursiveReadOnly: true }] },
      status.INVALID_ARGUMENT,
      /recursive_read_only, which takes readonly/,
    ],
    [
      "has an image as a volume that is not here",
      { mounts: [{ containerPath: "/data", image: { image: "registry.test/none:1" } }] },
      status.NOT_FOUND,
      /"registry.test\/none:1" is not on this node; pull it first/,
    ],
    [
      "has no image as a volume",
      { mounts: [{ containerPath: "/data", image: {} }] },
      status.INVALID_ARGUMENT,
      /the image of the volume at "\/data" is empty/,
    ],
    [
      "has a volume from an image and from the node",
      { mounts: [{ containerPath: "/data", hostPath: "/srv", image: { image: "x" } }] },
      status.INVALID_ARGUMENT,
      /"\/data" has both a host_path and an image/,
    ],
    [
      "has a volume with other ids",
      {
        mounts: [
          {
            containerPath: "/data",
            hostPath: "/srv",
            uidMappings: [{ hostId: 1, containerId: 0, length: 1 }],
            gidMappings: [{ hostId: 1, containerId: 0, length: 1 }],
          },
        ],
      },
      status.INVALID_ARGUMENT,
      /"\/data" maps uids 0-0 as 1-1, gids 0-0 as 1-1, and the pod's user namespace no ids/,
    ],
    [
      "has a volume with an unknown option",
      { mounts: [{ containerPath: "/data", hostPath: "/srv", mountOptions: ["sync"] }] },
      status.UNIMPLEMENTED,
      /mount option "sync"/,
    ],
    ["has no image", { image: { image: "" } }, status.INVALID_ARGUMENT, /image is empty/],
    [
      "has an image that is not here",
      { image: { image: "registry.test/none:1" } },
      status.NOT_FOUND,
      /"registry.test\/none:1" is not on this node; pull it first/,
    ],
    ["logs elsewhere", { logPath: "../../etc/x" }, status.INVALID_ARGUMENT, /leads out of/],
    [
      "has a group without a user",
      { linux: { securityContext: { runAsGroup: { value: 5n } } } },
      status.INVALID_ARGUMENT,
      /run_as_group needs/,
    ],
    [
      "has two users",
      { linux: { securityContext: { runAsUser: { value: 5n }, runAsUsername: "x" } } },
      status.INVALID_ARGUMENT,
      /exclude each other/,
    ],
    [
      "wants a capability that does not exist",
      { linux: { securityContext: { capabilities: { addCapabilities: ["FLY"] } } } },
      status.INVALID_ARGUMENT,
      /no capability "FLY"/,
    ],
    [
      "has an environment that is not text",
      { envs: [{ key: "A", value: Buffer.of(0xff) }] },
      status.UNIMPLEMENTED,
      /"A" is not UTF-8/,
    ],
  ];
  it.each(cases)("%s", async (_name, wishes, code, details) => {
    await expect(cri.create(pod, wishes)).rejects.toMatchObject({
      code,
      details: expect.stringMatching(details),
    });
    expect(await cri.containers()).toEqual([]);
  });

  it("has no sandbox", async () => {
    await expect(cri.create("none")).rejects.toMatchObject({ code: status.NOT_FOUND });
  });

  it("has a name that is taken", async () => {
    const id = await cri.create(pod);
    await expect(cri.create(pod)).rejects.toMatchObject({ code: status.ALREADY_EXISTS });
    const next = await cri.create(pod, { attempt: 1 });
    await cri.removeContainer(id);
    await cri.removeContainer(next);
  });
});

describe("a user namespace", () => {
  const range = { hostId: 131_072, containerId: 0, length: 65_536 };
  const mappings = { uidMappings: [range], gidMappings: [range] };
  const usernsOptions = { mode: NamespaceMode.POD, uids: [range], gids: [range] };
  const linux = { securityContext: { namespaceOptions: { usernsOptions } } };

  it("is had by a pod, its containers and their volumes alike", async () => {
    const mapped = await cri.runPod({ metadata: other(1), linux });
    const hostPath = bench.toolstackBench.root;
    const mounts = [{ containerPath: "/data", hostPath, ...mappings }];
    const id = await cri.create(mapped, { mounts, linux });
    const { mounted } = bench.toolstackBench.volumeHost;
    const ids = { hostId: 131_072, length: 65_536 };
    expect(mounted.get(`${id}-0`)?.options.idMappings).toEqual({ uids: ids, gids: ids });
    expect((await cri.containerStatus(id)).mounts).toMatchObject([mappings]);
    const others = { mode: NamespaceMode.POD, uids: [range], gids: [{ ...range, hostId: 1 }] };
    const elsewhere = { securityContext: { namespaceOptions: { usernsOptions: others } } };
    await expect(cri.create(mapped, { name: "other", linux: elsewhere })).rejects.toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: expect.stringMatching(/userns_options of the container/),
    });
    await cri.removePod(mapped);
  });

  it("is none of a unikernel's", async () => {
    const wanted = cri.runPod({ metadata: other(1), linux }, "lightvm-unikernel");
    await expect(wanted).rejects.toMatchObject({ code: status.UNIMPLEMENTED });
  });
});

describe("lists", () => {
  it("tell of sandboxes what was given, and filter them", async () => {
    const second = await cri.runPod({ metadata: other(1), labels: { app: "web" } });
    await cri.stopPod(second);
    const ids = async (filter: Parameters<CriClient["pods"]>[0]) =>
      (await cri.pods(filter)).map(({ id }) => id);
    expect(await ids({})).toEqual([pod, second]);
    expect(await ids({ id: pod.slice(0, 12) })).toEqual([pod]);
    expect(await ids({ state: { state: PodSandboxState.SANDBOX_NOTREADY } })).toEqual([second]);
    expect(await ids({ state: { state: PodSandboxState.SANDBOX_READY } })).toEqual([pod]);
    expect(await ids({ labelSelector: { app: "web" } })).toEqual([pod, second]);
    expect(await ids({ labelSelector: { app: "web", tier: "front" } })).toEqual([pod]);
    expect(await ids({ labelSelector: { tier: "back" } })).toEqual([]);
    expect((await cri.pods({ id: pod }))[0]).toMatchObject({
      metadata: other(0),
      annotations: { "a/b": "c" },
      labels: { app: "web", tier: "front" },
      runtimeHandler: "",
    });
    await cri.removePod(second);
  });

  it("filter containers", async () => {
    const first = await cri.create(pod, { name: "one", labels: { kind: "a" } });
    const second = await cri.create(pod, { name: "two", labels: { kind: "b" } });
    await cri.start(second);
    const ids = async (filter: Parameters<CriClient["containers"]>[0]) =>
      (await cri.containers(filter)).map(({ id }) => id);
    expect(await ids({ podSandboxId: pod.slice(0, 8) })).toEqual([first, second]);
    expect(await ids({ podSandboxId: "none" })).toEqual([]);
    expect(await ids({ state: { state: ContainerState.CONTAINER_RUNNING } })).toEqual([second]);
    expect(await ids({ state: { state: ContainerState.CONTAINER_CREATED } })).toEqual([first]);
    expect(await ids({ id: second.slice(0, 10) })).toEqual([second]);
    expect(await ids({ labelSelector: { kind: "a" } })).toEqual([first]);
    await cri.removeContainer(first);
    await cri.removeContainer(second);
  });
});

describe("the node", () => {
  it("says who it is and how it is", async () => {
    expect(await cri.version()).toMatchObject({
      version: "0.1.0",
      runtimeName: "lightvm",
      runtimeApiVersion: "v1",
    });
    const { info, runtimeHandlers, status: health } = await cri.status();
    expect(health?.conditions).toEqual([
      { type: "RuntimeReady", status: true, reason: "", message: "" },
      { type: "NetworkReady", status: true, reason: "", message: "" },
    ]);
    expect(runtimeHandlers.map(({ name, features }) => [name, features?.userNamespaces])).toEqual([
      ["", true],
      ["lightvm", true],
      ["lightvm-unikernel", false],
    ]);
    expect(JSON.parse(info["lightvm"] ?? "")).toMatchObject({ xen: { version: "4.20.3" } });
  });
});

describe("images", () => {
  it("are pulled, listed, looked up and removed", async () => {
    const id = await cri.pull("registry.test/nginx:1");
    expect((await cri.image("registry.test/nginx:1"))?.id).toBe(id);
    expect((await cri.images("registry.test/nginx:1")).map((image) => image.id)).toEqual([id]);
    expect(await cri.images("")).toHaveLength(3);
    expect(await cri.images("registry.test/none:1")).toEqual([]);
    await cri.removeImage("registry.test/nginx:1");
    await cri.removeImage("registry.test/nginx:1");
    expect(await cri.image("registry.test/nginx:1")).toBeUndefined();
    await expect(cri.pull("gone.test/x:1")).rejects.toMatchObject({ code: status.UNAVAILABLE });
    await expect(cri.pull("")).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
  });

  it("stay while a container is made from them", async () => {
    const id = await cri.create(pod);
    await expect(cri.removeImage("registry.test/busybox:1")).rejects.toMatchObject({
      code: status.FAILED_PRECONDITION,
    });
    await cri.removeContainer(id);
  });

  it("are volumes, and stay while a container has them", async () => {
    const name = "registry.test/data:1";
    const image = await cri.pull(name);
    const mount = { containerPath: "/data", image: { image: name }, imageSubPath: "weights" };
    const id = await cri.create(pod, { mounts: [mount] });
    const [shown] = (await cri.containerStatus(id)).mounts;
    expect(shown).toMatchObject({ ...mount, hostPath: "", readonly: true });
    expect(shown?.image?.imageRef).toBe((await cri.image(name))?.repoDigests[0]);
    await expect(cri.removeImage(image)).rejects.toMatchObject({
      code: status.FAILED_PRECONDITION,
      details: expect.stringContaining(`in use by container ${id}`),
    });
    await cri.removeContainer(id);
    await cri.removeImage(image);
  });

  it("are pulled with the credentials that came, in whatever form", async () => {
    const auth = Buffer.from("ann:se:cret").toString("base64");
    await cri.pull("registry.test/private:1", AuthConfig.fromPartial({ auth }));
    expect(bench.images.lastCredentials).toEqual({ username: "ann", password: "se:cret" });
    await cri.pull("registry.test/private:1", AuthConfig.fromPartial({ registryToken: "t" }));
    expect(bench.images.lastCredentials).toEqual({ registryToken: "t" });
  });
});
