// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { connect, type Socket } from "node:net";
import { Stream, type StreamHello } from "../../cri-proto/generated/lightvm/agent/v1/agent.ts";

/** Test only: the streams that lightvmd has opened to a fake guest. */
export class FakeStreams {
  readonly #execs = new Map<string, Map<Stream, Socket>>();
  /** Execs that were over before all of their streams had come. */
  readonly #ended = new Set<string>();
  readonly #forwards = new Map<string, Socket>();
  readonly #attached = new Map<string, Set<Socket>>();
  /** What is to be done when one more stream has come. */
  readonly #waiting = new Set<() => void>();
  readonly #onStdinEnd: (containerId: string) => void;

  constructor(onStdinEnd: (containerId: string) => void) {
    this.#onStdinEnd = onStdinEnd;
  }

  /** A stream of an exec, or a forwarded connection. */
  add(hello: StreamHello, socket: Socket): void {
    if (hello.forwardId !== "") this.#forwards.set(hello.forwardId, socket);
    else if (this.#ended.has(hello.execId)) socket.end();
    else {
      const streams = this.#execs.get(hello.execId) ?? new Map<Stream, Socket>();
      this.#execs.set(hello.execId, streams.set(hello.stream, socket));
    }
    for (const look of [...this.#waiting]) look();
  }

  /** A client of a container that writes what it reads to every client that is attached. */
  attach({ containerId, stream }: StreamHello, endsStdin: boolean, socket: Socket): void {
    const attached = this.#attached.get(containerId) ?? new Set();
    this.#attached.set(containerId, attached);
    if (stream === Stream.STREAM_STDOUT) {
      attached.add(socket);
      socket.on("close", () => attached.delete(socket)).resume();
    } else if (stream === Stream.STREAM_STDIN) {
      socket.on("data", (chunk) => {
        for (const output of attached) output.write(chunk);
      });
      socket.on("end", () => {
        socket.end();
        if (endsStdin) this.#onStdinEnd(containerId);
      });
    } else socket.end();
  }

  /** The container has ended. */
  endAttached(containerId: string): void {
    for (const output of this.#attached.get(containerId) ?? []) output.end();
  }

  get(execId: string, stream: Stream): Socket | undefined {
    return this.#execs.get(execId)?.get(stream);
  }

  endExec(execId: string): void {
    for (const socket of this.#execs.get(execId)?.values() ?? []) socket.end();
    this.#execs.delete(execId);
    this.#ended.add(execId);
  }

  /** Calls `act` once it returns true when it is asked now, or after a stream has come. */
  when(isReady: () => boolean, act: () => void): void {
    const look = () => {
      if (this.#waiting.has(look) && isReady()) {
        this.#waiting.delete(look);
        act();
      }
    };
    this.#waiting.add(look);
    setImmediate(look);
  }

  /** Runs a command of this machine as an exec; `exited` gets its exit code. */
  run(execId: string, words: readonly string[], exited: (code: number) => void): void {
    const [program = "", ...args] = words;
    const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] });
    const stdin = this.get(execId, Stream.STREAM_STDIN);
    child.stdin.on("error", () => undefined);
    if (stdin === undefined) child.stdin.end();
    else stdin.pipe(child.stdin);
    const outputs = [
      [child.stdout, Stream.STREAM_STDOUT],
      [child.stderr, Stream.STREAM_STDERR],
    ] as const;
    for (const [output, stream] of outputs) {
      const socket = this.get(execId, stream);
      if (socket === undefined) output.resume();
      else {
        output.pipe(socket);
        socket.resume();
        // As the agent does: whoever writes to nobody is told.
        socket.on("close", () => output.destroy());
      }
    }
    child.on("close", (code) => exited(code ?? 137));
  }

  /** Connects a forwarded connection to a port of this machine; calls back with the error. */
  forward(forwardId: string, port: number, done: (error?: Error) => void): void {
    const pod = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
    pod.once("error", done);
    pod.once("connect", () => {
      pod.off("error", done);
      pod.on("error", () => undefined);
      const open = () => {
        const host = this.#forwards.get(forwardId);
        host?.pipe(pod).pipe(host);
        done();
      };
      this.when(() => this.#forwards.has(forwardId), open);
    });
  }
}
