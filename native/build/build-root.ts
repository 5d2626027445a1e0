// SPDX-License-Identifier: Apache-2.0
import { debianFolder } from "./debian-folder.ts";

/** What compiles our native parts, the guest kernel and the Go programs of the box. */
const PACKAGES = [
  ...["gcc", "libc6-dev", "make", "pkg-config", "git", "ca-certificates"],
  ...["cargo", "rustc", "rust-clippy", "rustfmt", "golang-go"],
  ...["flex", "bison", "bc", "libelf-dev", "libssl-dev", "python3-minimal", "cpio", "xz-utils"],
  ...["erofs-utils", "linux-source-6.12"],
];

/** The Debian 13 folder in which everything native is built, so that no host's release shows. */
export function buildRoot(): Promise<string> {
  return debianFolder("trixie", PACKAGES);
}
