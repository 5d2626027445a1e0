// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import { debianFolder } from "../../../native/build/debian-folder.ts";
import { type ImageSource, type LayerEntry, ociImage } from "../../framework/oci-image.ts";
import type { Registry } from "../../framework/registry.ts";
import { staticProgram } from "../../framework/static-program.ts";
import { file } from "./layers.ts";
import { httpd, nginx, userLand } from "./user-land.ts";

/** Hosts that critest's image references start with. All are served by one registry in the box. */
export const REGISTRY_HOSTS = ["registry.k8s.io", "k8s.gcr.io", "gcr.io"];

/** Whence the programs in the images come. */
const PACKAGES = ["apache2-bin", "busybox", "nginx", "procps"];

/** An image and the names, without host, under which critest pulls it. */
interface TestImage extends ImageSource {
  readonly names: readonly `${string}:${string}`[];
}

const PATH = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"];
const SHELL = { Env: PATH, Cmd: ["sh"] };

/** A program of ours that an image consists of. */
function compiled(name: string): Promise<Uint8Array> {
  return staticProgram(join(import.meta.dirname, `${name}.c`));
}

/** Images that differ in one file, as those of cri-tools do. */
function testImages(base: readonly LayerEntry[]): TestImage[] {
  const numbered = (name: string, ...names: TestImage["names"]): TestImage => ({
    names,
    layers: [base, [file(name, `${name}\n`)]],
    config: SHELL,
  });
  const staging = "k8s-staging-cri-tools/test-image";
  return [
    ...([1, 2, 3] as const).map((n) => numbered(`test-image-${n}`, `${staging}-${n}:latest`)),
    numbered("test-image-latest", `${staging}-latest:latest`),
    numbered("test-image-digest", `${staging}-digest:latest`),
    numbered("test-image-tag", `${staging}-tag:test`),
    numbered("test-image-all", `${staging}-tag:all`),
    numbered(
      "test-image-tags",
      ...(["1", "2", "3"] as const).map((tag) => `${staging}-tags:${tag}` as const),
    ),
    ...Object.entries({
      uid: "1002",
      username: "www-data",
      "uid-group": "1003:users",
      "username-group": "www-data:100",
    }).map(
      ([kind, User]): TestImage => ({
        names: [`${staging}-user-${kind}:latest`],
        layers: [base],
        config: { ...SHELL, User },
      }),
    ),
  ];
}

async function predefinedGroup(base: readonly LayerEntry[]): Promise<TestImage> {
  const content = (name: string) => String(base.find((entry) => entry.name === name)?.content);
  const passwd = "default-user:x:1000:1000::/home/default-user:/bin/sh\n";
  const group = "default-user:x:1000:\ngroup-defined-in-image:x:50000:default-user\n";
  const own = [
    file("etc/passwd", content("etc/passwd") + passwd),
    file("etc/group", content("etc/group") + group),
  ];
  return {
    names: ["k8s-staging-cri-tools/test-image-predefined-group:latest"],
    layers: [base, own],
    config: { ...SHELL, User: "1000" },
  };
}

/** Every image that critest pulls, but for the one that it names by a digest of its own. */
async function allImages(): Promise<TestImage[]> {
  const folder = await debianFolder("trixie", PACKAGES);
  const base = await userLand(folder);
  const server = { Env: PATH, Cmd: ["nginx", "-g", "daemon off;"] };
  const pause = [file("pause", await compiled("pause"), 0o755)];
  return [
    { names: ["e2e-test-images/busybox:1.29-2"], layers: [base], config: SHELL },
    {
      names: ["e2e-test-images/nginx:1.14-2"],
      layers: [base, await nginx(folder, 80)],
      config: { ...server, ExposedPorts: { "80/tcp": {} } },
    },
    {
      names: ["k8s-staging-cri-tools/hostnet-nginx-amd64:latest"],
      layers: [base, await nginx(folder, 12_003)],
      config: server,
    },
    {
      names: ["e2e-test-images/httpd:2.4.39-4"],
      layers: [base, await httpd(folder)],
      config: { Env: PATH, Cmd: ["httpd", "-D", "FOREGROUND"] },
    },
    {
      names: ["e2e-test-images/nonewprivs:1.3"],
      layers: [base, [file("effective-uid", await compiled("effective-uid"), 0o4755)]],
      config: { Env: PATH, Entrypoint: ["/effective-uid"] },
    },
    { names: ["pause:3.9"], layers: [pause], config: { Entrypoint: ["/pause"] } },
    // containerd's own, which must not be the one that specs remove.
    {
      names: ["pause:3.10"],
      layers: [pause],
      config: { Entrypoint: ["/pause"], Labels: { own: "" } },
    },
    ...testImages(base),
    await predefinedGroup(base),
  ];
}

/** Fills the registry of a box with all that critest asks for. */
export async function pushTestImages(registry: Registry): Promise<void> {
  for (const { names, ...source } of await allImages()) {
    const image = await ociImage(source);
    for (const name of names) {
      const colon = name.lastIndexOf(":");
      await registry.push(name.slice(0, colon), name.slice(colon + 1), image);
    }
  }
}
