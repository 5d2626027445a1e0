// SPDX-License-Identifier: Apache-2.0
import { createHash } from "node:crypto";
import { createServer } from "node:net";
import { LightvmError } from "./shared/errors.ts";

/**
 * Makes sure that one lightvmd at a time works on a state directory: two would take each other's
 * pods for orphans. The lock is a socket in the abstract namespace, which the kernel gives back
 * whatever way the process ends. Throws "failed-precondition" when it is taken.
 */
export async function lockNode(stateDirectory: string): Promise<Disposable> {
  const name = createHash("sha256").update(stateDirectory).digest("hex");
  const server = createServer((socket) => socket.destroy());
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen(`\0lightvmd-${name}`, resolve);
  try {
    await promise;
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    throw code === "EADDRINUSE"
      ? new LightvmError("failed-precondition", `another lightvmd works on ${stateDirectory}`)
      : new LightvmError("internal", `cannot lock ${stateDirectory}`, { cause });
  }
  // The lock alone keeps nobody alive.
  server.unref();
  return { [Symbol.dispose]: () => void server.close() };
}
