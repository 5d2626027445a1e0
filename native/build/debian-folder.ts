// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import { cached } from "./cache.ts";
import { run } from "./run.ts";

/** A Debian release that we build in or boot. */
export type DebianRelease = "bookworm" | "trixie";

/**
 * The package mirror of this machine, taken from its own apt configuration. One mirror serves every
 * release; the security archive does not.
 */
async function mirror(): Promise<string> {
  const sites = await run(["apt-get", "indextargets", "--format", "$(SITE)"]);
  const site = sites.split("\n").find((line) => /\/debian\/?$/.test(line));
  if (site === undefined) throw new Error("apt-get knows no Debian mirror (path …/debian)");
  return site;
}

/** A minimal Debian with `packages`, as a folder owned by root. Cached by release and packages. */
export async function debianFolder(
  release: DebianRelease,
  packages: readonly string[],
): Promise<string> {
  const sorted = [...packages].sort();
  const folder = await cached(`debian-${release}`, [release, ...sorted], async (directory) => {
    await run([
      "mmdebstrap",
      "--variant=minbase",
      `--include=${sorted.join(",")}`,
      "--dpkgopt=path-exclude=/usr/share/doc/*",
      "--dpkgopt=path-exclude=/usr/share/man/*",
      "--dpkgopt=path-exclude=/usr/share/locale/*",
      release,
      join(directory, "root"),
      await mirror(),
    ]);
  });
  return join(folder, "root");
}

/** The files of one package, without those that it depends on. Cached by name. */
export async function debianPackage(
  release: DebianRelease | "bullseye",
  name: string,
): Promise<string> {
  const folder = await cached(`package-${release}`, [name], async (directory) => {
    const root = join(directory, "root");
    const command = [
      "mmdebstrap",
      "--variant=extract",
      `--include=${name}`,
      release,
      root,
    ] as const;
    await run([...command, await mirror()]);
  });
  return join(folder, "root");
}

/** A directory of the host that a command inside a Debian folder sees. */
export interface Bind {
  readonly host: string;
  readonly inside: string;
  readonly readOnly?: boolean;
}

/**
 * Runs a shell script inside a Debian folder, as root, with `/proc`, `/dev`, the host's name
 * resolution and its CA certificates. Mounts live in a namespace of their own: none outlives the run.
 */
export async function runInDebian(
  root: string,
  script: string,
  options: { binds?: readonly Bind[]; env?: Record<string, string>; signal?: AbortSignal } = {},
): Promise<string> {
  const binds: readonly Bind[] = [
    { host: "/etc/ssl/certs", inside: "/etc/ssl/certs", readOnly: true },
    ...(options.binds ?? []),
  ];
  const mounts = binds.flatMap(({ host, inside, readOnly }) => [
    `mkdir -p '${root}${inside}'`,
    `mount --bind '${host}' '${root}${inside}'`,
    ...(readOnly ? [`mount -o remount,bind,ro '${root}${inside}'`] : []),
  ]);
  const outer = [
    "set -eu",
    "mount --make-rprivate /",
    // A root that is a mount, for pivot_root.
    `mount --bind '${root}' '${root}'`,
    `mount -t proc proc '${root}/proc'`,
    `mount --rbind /dev '${root}/dev'`,
    `touch '${root}/etc/resolv.conf'`,
    `mount --bind "$(readlink -f /etc/resolv.conf)" '${root}/etc/resolv.conf'`,
    ...mounts,
    // Not chroot: whoever enters a mount namespace that was made inside finds the namespace's root,
    // which must be the folder's.
    `cd '${root}'`,
    "pivot_root . mnt",
    "cd /",
    "umount -l /mnt",
    'exec /bin/sh -euc "$SCRIPT"',
  ].join("\n");
  const { HTTP_PROXY, HTTPS_PROXY, NO_PROXY, GOPROXY, GOSUMDB } = process.env;
  const inherited = { HTTP_PROXY, HTTPS_PROXY, NO_PROXY, GOPROXY, GOSUMDB };
  return run(["unshare", "--mount", "--fork", "--kill-child", "sh", "-c", outer], {
    env: {
      ...inherited,
      PATH: "/usr/lib/go/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      HOME: "/root",
      LANG: "C.UTF-8",
      SCRIPT: script,
      ...options.env,
    },
    ...(options.signal && { signal: options.signal }),
  });
}
