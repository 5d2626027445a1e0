// SPDX-License-Identifier: Apache-2.0
import { closeSync, constants, fstatSync, openSync, type Stats } from "node:fs";
import { LightvmError } from "../shared/errors.ts";
import type { DeviceHost, HostDevice } from "./device-host.ts";

/** open(2): O_PATH, which finds a file and does not open it. Node has no name for it. */
const O_PATH = 0o10000000;

/** The devices of the host's kernel. */
export class NativeDeviceHost implements DeviceHost {
  open(path: string, writable: boolean): HostDevice {
    const found = find(path);
    try {
      const stats = fstatSync(found);
      if (stats.isCharacterDevice()) return { kind: "character", ...nodeOf(stats) };
      if (!stats.isBlockDevice()) throw noDevice(path, stats);
      // The file that was looked at, whatever has become of its path meanwhile.
      const fd = openFound(found, path, writable);
      return { kind: "block", fd, ...nodeOf(stats) };
    } finally {
      closeSync(found);
    }
  }
}

function find(path: string): number {
  try {
    return openSync(path, O_PATH);
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    const missing = code === "ENOENT" || code === "ENOTDIR";
    const kind = missing ? "not-found" : "failed-precondition";
    throw new LightvmError(kind, `host device "${path}" is not there`, { cause });
  }
}

function openFound(found: number, path: string, writable: boolean): number {
  const access = writable ? constants.O_RDWR : constants.O_RDONLY;
  try {
    return openSync(`/proc/self/fd/${found}`, access);
  } catch (cause) {
    const how = writable ? "read and written" : "read";
    throw new LightvmError("failed-precondition", `host device "${path}" cannot be ${how}`, {
      cause,
    });
  }
}

function noDevice(path: string, stats: Stats): LightvmError {
  const kind = stats.isDirectory() ? "a directory" : stats.isFile() ? "a file" : "something else";
  return new LightvmError("invalid-argument", `"${path}" is no device of the host but ${kind}`);
}

/** Linux' numbers have 12 and 20 bits and are told in 32 (include/linux/kdev_t.h, new_encode_dev). */
function nodeOf({ rdev, mode, uid, gid }: Stats) {
  const major = (rdev >>> 8) & 0xfff;
  const minor = (rdev & 0xff) | ((rdev >>> 12) & 0xfff00);
  return { major, minor, mode: mode & 0o777, uid, gid };
}
