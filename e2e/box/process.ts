// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/**
 * True until a process that was killed has closed its files: disks are locked, and ports taken, until
 * then. Its memory, and its command line with it, go before them. The files are all threads' own, and
 * the first may be a zombie while others still end: they are closed when it is the last one left.
 */
export function holdsFiles(pid: number): boolean {
  try {
    const threads = readdirSync(`/proc/${pid}/task`);
    return threads.length > 1 || !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    // No such process.
    return false;
  }
}

/** State of a listening socket in /proc/net/tcp (include/net/tcp_states.h). */
const TCP_LISTEN = "0A";

/** The TCP port on which a process listens. Throws when there is none, or more than one. */
export function listeningPort(pid: number): number {
  const descriptors = `/proc/${pid}/fd`;
  const sockets = new Set(
    readdirSync(descriptors).map((descriptor) => readlinkSync(`${descriptors}/${descriptor}`)),
  );
  const [, ...lines] = readFileSync(`/proc/${pid}/net/tcp`, "utf8").trimEnd().split("\n");
  const ports = lines
    .map((line) => line.trim().split(/\s+/))
    .filter(
      ([, , , state, , , , , , inode]) => state === TCP_LISTEN && sockets.has(`socket:[${inode}]`),
    )
    .map(([, local]) => Number.parseInt(local?.split(":")[1] ?? "", 16));
  const [port] = ports;
  if (port === undefined || ports.length > 1) {
    throw new Error(`process ${pid} listens on ${ports.length} TCP ports, not on one`);
  }
  return port;
}
