// SPDX-License-Identifier: Apache-2.0
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Image } from "../../image/images.ts";
import type { Container } from "../../pod/container.ts";
import type { ContainerMount } from "../../pod/container-record.ts";
import type { PodVm } from "../../toolstack/pod-vm.ts";
import type { Volume } from "../../toolstack/pod-volumes.ts";
import { guestMounts, type VolumeImage } from "./mounts.ts";

/** Mounting a hugetlbfs takes root: a directory of this name is taken for one. */
vi.mock(import("node:fs/promises"), async (original) => {
  const { statfs, ...others } = await original();
  const pretending = async (path: string) => {
    const { type, ...rest } = await statfs(path);
    return { ...rest, type: path.endsWith("/hugepages") ? 0x958458f6 : type };
  };
  return { ...others, statfs: pretending as typeof statfs };
});

let host: string;
beforeEach(() => {
  host = mkdtempSync(join(tmpdir(), "lightvm-mounts-"));
});
afterEach(() => rmSync(host, { recursive: true }));

/** An image volume with this much of its image, at this place. */
function ofImage(containerPath: string, subPath: string, ...options: string[]): VolumeImage {
  const image = { reference: "x", annotations: {}, userSpecifiedImage: "", runtimeHandler: "" };
  const mount = { containerPath, image, subPath, options };
  return { mount, image: { erofsPath: "/images/x.erofs" } as Image };
}

/** What the guest is told of mounts, when the host paths that are named have others below them. */
async function told(
  wanted: readonly Partial<ContainerMount>[],
  withMounts: readonly string[] = [],
  images: readonly VolumeImage[] = [],
) {
  const mounts = wanted.map((mount) => ({
    containerPath: "/data",
    hostPath: host,
    readOnly: false,
    recursiveReadOnly: false,
    followsHost: false,
    options: [],
    ...mount,
  }));
  const container = { id: "c", metadata: { config: { mounts } } } as unknown as Container;
  const asked: Volume[] = [];
  const attachVolumes = async (id: string, volumes: readonly Volume[]) => {
    asked.push(...volumes);
    return {
      deviceId: 7,
      names: volumes.map((_, index) => `${id}-${index}`),
      withMounts: volumes.map(({ hostPath }) => withMounts.includes(hostPath)),
    };
  };
  const attachImage = async (path: string) => path.length;
  const vm = { attachImage, attachVolumes } as unknown as PodVm;
  const { signal } = new AbortController();
  return { ...(await guestMounts(vm, container, images, signal)), asked };
}

describe("a container's mounts", () => {
  it("are none of the node's when there are none", async () => {
    expect(await told([])).toEqual({ mounts: [], volumesDeviceId: 0, asked: [] });
  });

  it("come from the root downwards", async () => {
    const { mounts } = await told(
      ["/a/b/c", "/z", "/a"].map((containerPath) => ({ containerPath })),
    );
    const places = mounts.map(({ destination, source }) => [destination, source]);
    expect(places).toEqual([
      ["/z", "c-1"],
      ["/a", "c-2"],
      ["/a/b/c", "c-0"],
    ]);
  });

  it("are parts of images as well, read-only and without programs unless the request has some", async () => {
    const images = [ofImage("/a/models", "/weights"), ofImage("/tools", "", "exec", "dev")];
    const { mounts, volumesDeviceId } = await told([{ containerPath: "/a" }], [], images);
    expect(volumesDeviceId).toBe(7);
    expect(mounts.map(({ destination, type }) => [destination, type])).toEqual([
      ["/a", "volume"],
      ["/tools", "image"],
      ["/a/models", "image"],
    ]);
    const blockDeviceId = "/images/x.erofs".length;
    const options = ["nosuid", "noexec", "nodev", "ro"];
    expect(mounts[2]).toMatchObject({ source: "/weights", options, blockDeviceId });
    expect(mounts[1]?.options).toEqual(["nosuid", "noexec", "exec", "dev", "nodev", "ro"]);
  });

  it("show that they are read-only where nothing below may be written", async () => {
    const shown = async (mount: Partial<ContainerMount>, withMounts: readonly string[] = []) =>
      (await told([mount], withMounts)).mounts[0]?.options;
    expect(await shown({})).toEqual([]);
    expect(await shown({ readOnly: true })).toEqual(["ro"]);
    expect(await shown({ readOnly: true }, [host])).toEqual([]);
    expect(await shown({ readOnly: true, followsHost: true })).toEqual([]);
    expect(await shown({ readOnly: true, recursiveReadOnly: true }, [host])).toEqual(["ro"]);
    expect(await shown({ options: ["nosuid"] })).toEqual(["nosuid"]);
  });

  it("are read-only on the node in any case", async () => {
    const { asked } = await told([{ readOnly: true, recursiveReadOnly: true }]);
    expect(asked).toEqual([
      { hostPath: host, readOnly: true, recursively: true, followHost: false },
    ]);
  });

  it("have the ids of the pod's user namespace if they shall", async () => {
    const range = { hostId: 131_072, length: 65_536 };
    const idMappings = { uids: range, gids: range };
    const { asked } = await told([{ idMappings }, {}]);
    expect(asked.map((volume) => volume.idMappings)).toEqual([idMappings, undefined]);
  });

  it("make what is missing, and name what cannot be", async () => {
    const hostPath = join(host, "not/there/yet");
    await told([{ hostPath }]);
    expect(existsSync(hostPath)).toBe(true);
    writeFileSync(join(host, "file"), "");
    await expect(told([{ hostPath: join(host, "file/below") }])).rejects.toMatchObject({
      code: "failed-precondition",
      message: expect.stringContaining(`host path "${host}/file/below" cannot be mounted`),
    });
  });

  it("are not made of huge pages", async () => {
    const hostPath = join(host, "pods/u/volumes/kubernetes.io~empty-dir/hugepages");
    await expect(told([{ hostPath }])).rejects.toMatchObject({
      code: "unimplemented",
      message: expect.stringMatching(/hugepages" is a hugetlbfs.*use "medium: Memory"/),
    });
  });

  it("take an emptyDir for what it is, whatever its file system", async () => {
    const hostPath = join(host, "pods/u/volumes/kubernetes.io~empty-dir/cache");
    expect((await told([{ hostPath }])).mounts[0]).toMatchObject({ type: "volume" });
  });
});
