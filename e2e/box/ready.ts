// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { createServer, type Socket } from "node:net";

/** Waits for dom0's first words on the box's virtio port. */
export interface ReadySignal extends Disposable {
  /** Resolves with dom0's uptime in seconds when its init program has said "ready". */
  wait(signal: AbortSignal): Promise<number>;
}

/** Listens on the socket that QEMU connects the port to; must be called before QEMU starts. */
export async function listenForReady(path: string): Promise<ReadySignal> {
  const { promise, resolve } = Promise.withResolvers<number>();
  let connection: Socket | undefined;
  const server = createServer((socket) => {
    connection = socket;
    let text = "";
    socket.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
      const ready = /^ready ([\d.]+)\n/m.exec(text);
      if (ready) resolve(Number(ready[1]));
    });
    // QEMU's end is reported by whoever watches the process.
    socket.on("error", () => undefined);
  }).listen(path);
  await once(server, "listening");
  return {
    async wait(signal) {
      const { promise: aborted, reject } = Promise.withResolvers<never>();
      const onAbort = () => reject(new Error("dom0 did not say that it is ready in time"));
      signal.addEventListener("abort", onAbort, { once: true });
      try {
        return await Promise.race([promise, aborted]);
      } finally {
        signal.removeEventListener("abort", onAbort);
      }
    },
    [Symbol.dispose]() {
      connection?.destroy();
      server.close();
    },
  };
}
