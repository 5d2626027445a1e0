// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { open } from "node:fs/promises";
import { dirname } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { LightvmError } from "../shared/errors.ts";
import { throwIfCancelled } from "../shared/wait.ts";

/** Packs an archive into an EROFS file at `outPath`, which is on the disk when it returns. */
export type PackErofs = (
  tar: AsyncIterable<Uint8Array>,
  outPath: string,
  signal?: AbortSignal,
) => Promise<void>;

/** From erofs-utils, 1.8 or newer; older ones cannot read tars. */
const PROGRAM = "mkfs.erofs";
/** What is kept of its complaints. */
const MAX_STDERR_BYTES = 4096;

/**
 * Runs mkfs.erofs with the archive on stdin. Uncompressed: guests share the file through dom0's
 * page cache, where compressed data would have to be unpacked in each of them. Build time and UUID
 * are fixed, so the same layers give the same bytes.
 */
export const packErofs: PackErofs = async (tar, outPath, signal) => {
  throwIfCancelled(signal, "packing the image");
  const options = ["--quiet", "--tar=f", "-T0", "--mkfs-time", "-Uclear"];
  const child = spawn(PROGRAM, [...options, outPath], {
    stdio: ["pipe", "ignore", "pipe"],
    // It keeps all contents in a temporary file for a while, which /tmp may have no room for.
    env: { ...process.env, LC_ALL: "C", TMPDIR: dirname(outPath) },
  });
  let complaints = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    complaints = (complaints + text).slice(-MAX_STDERR_BYTES);
  });
  const { promise: ended, resolve, reject } = Promise.withResolvers<string | undefined>();
  child.on("error", reject);
  child.on("close", (code, by) => resolve(code === 0 ? undefined : (by ?? `status ${code}`)));
  const [fed, exit] = await Promise.allSettled([
    feed(tar, child.stdin, signal).catch((error: unknown) => {
      child.kill("SIGKILL");
      throw error;
    }),
    ended,
  ]);
  if (exit.status === "rejected") throw notStarted(exit.reason);
  throwIfCancelled(signal, "packing the image");
  const feedError: unknown = fed.status === "rejected" ? fed.reason : undefined;
  if (feedError instanceof LightvmError) throw feedError;
  // It died while it was being fed: its own words say more than our broken pipe.
  if (exit.value !== undefined) throw failed(exit.value, complaints, feedError);
  if (feedError !== undefined) throw failed("success too early", complaints, feedError);
  await using file = await open(outPath, "r+");
  await file.sync();
};

async function feed(
  tar: AsyncIterable<Uint8Array>,
  stdin: NodeJS.WritableStream,
  signal: AbortSignal | undefined,
): Promise<void> {
  await pipeline(Readable.from(tar), stdin, signal === undefined ? {} : { signal });
}

function notStarted(cause: unknown): LightvmError {
  const missing = (cause as NodeJS.ErrnoException).code === "ENOENT";
  const message = missing
    ? `${PROGRAM} is not installed; install erofs-utils 1.8 or newer`
    : `${PROGRAM} cannot be started`;
  return new LightvmError(missing ? "failed-precondition" : "internal", message, { cause });
}

function failed(how: string, complaints: string, cause: unknown): LightvmError {
  const full = complaints.includes("No space left on device");
  const said = complaints.trim().replaceAll(/\s*\n\s*/g, "; ");
  return new LightvmError(
    full ? "resource-exhausted" : "internal",
    `${PROGRAM} ended with ${how}${said === "" ? "" : `: ${said}`}`,
    { cause },
  );
}
