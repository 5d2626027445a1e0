// SPDX-License-Identifier: Apache-2.0
// First step of `npm run demo` and `npm test`, in plain JavaScript for whatever Node (20 or later) the
// machine has: installs the Debian packages and the npm modules that everything else stands on.
// Does nothing, in a few milliseconds, when all of it is there.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const repository = resolve(import.meta.dirname ?? ".", "../..");

/** A program that must be on the PATH → the Debian package that brings it. */
const PROGRAMS = {
  mmdebstrap: "mmdebstrap",
  "mkfs.erofs": "erofs-utils",
  "mkfs.ext4": "e2fsprogs",
  "ssh-keygen": "openssh-client",
  cpio: "cpio",
  xz: "xz-utils",
  cc: "gcc",
  unshare: "util-linux",
};

const SEARCHED = [...(process.env.PATH ?? "").split(":"), "/usr/sbin", "/sbin"];

function say(message) {
  console.error(`[setup] ${message}`);
}

function mustRun(command, args, environment = {}) {
  const env = { ...process.env, ...environment };
  const { status, error } = spawnSync(command, args, { cwd: repository, stdio: "inherit", env });
  if (status === 0) return;
  say(`${command} ${args.join(" ")} failed${error ? `: ${error.message}` : ""}`);
  process.exit(1);
}

function requireRoot() {
  if (process.getuid?.() === 0) return;
  say("this needs root: it makes Debian folders and runs programs in them. Try again with sudo.");
  process.exit(1);
}

function installPackages() {
  const missing = Object.entries(PROGRAMS)
    .filter(([program]) => !SEARCHED.some((folder) => existsSync(join(folder, program))))
    .map(([, name]) => name);
  if (missing.length === 0) return;
  say(`installing Debian packages: ${missing.join(", ")}`);
  const quiet = { DEBIAN_FRONTEND: "noninteractive" };
  mustRun("apt-get", ["update", "-qq"], quiet);
  mustRun("apt-get", ["install", "-y", "-qq", "--no-install-recommends", ...missing], quiet);
}

/** npm installs anew whenever the lockfile is not the one that was installed last. */
function installModules() {
  const lockfile = readFileSync(join(repository, "package-lock.json"));
  const digest = createHash("sha256").update(lockfile).digest("hex");
  const stamp = join(repository, "node_modules/.lightvm-lockfile");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === digest) return;
  say("installing npm modules");
  mustRun("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
  writeFileSync(stamp, digest);
}

requireRoot();
installPackages();
installModules();
