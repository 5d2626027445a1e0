// SPDX-License-Identifier: Apache-2.0
import type { Socket } from "node:net";
import {
  type AgentMessage,
  ContainerStats,
  Failure_Code,
  type HostMessage,
  type ProcessExited,
  Stats,
  Stream,
  type StreamHello,
} from "../../cri-proto/generated/lightvm/agent/v1/agent.ts";

type Reply = AgentMessage["body"] | "silence";
type Call<Case extends string> = Extract<NonNullable<HostMessage["call"]>, { $case: Case }>;

interface FakeContainer {
  readonly arguments: string[];
  running: boolean;
  memoryLimit: bigint;
}

const SIGTERM = 15;
const OUTPUTS = [Stream.STREAM_STDOUT, Stream.STREAM_STDERR];

/**
 * Test only: a guest whose programs are the first words of command lines.
 *
 *   sleep          runs until a signal comes      exit CODE   ends at once with CODE
 *   later MS CODE  ends after a while
 *   stubborn       like sleep, deaf to SIGTERM    oom         ends as the OOM killer ends it
 *   missing        is not in the image            broken      cannot be started
 *   echo WORD…     (exec) writes the words        flood N     (exec) writes N bytes twice
 */
export class FakeAgent {
  readonly #containers = new Map<string, FakeContainer>();
  readonly #execs = new Set<string>();
  readonly #streams = new Map<string, Socket>();
  /** What an exec does once both of its streams are there. */
  readonly #waiting = new Map<string, () => void>();
  readonly #onExit: (exit: ProcessExited) => void;

  constructor(onExit: (exit: ProcessExited) => void) {
    this.#onExit = onExit;
  }

  addStream(hello: StreamHello, socket: Socket): void {
    this.#streams.set(`${hello.execId} ${hello.stream}`, socket);
    this.#runIfConnected(hello.execId);
  }

  /** The reply to one call; "silence" = not one of ours. */
  answer(call: HostMessage["call"]): Reply {
    switch (call?.$case) {
      case "configureSandbox":
        return done();
      case "createContainer":
        return this.#create(call.value);
      case "startContainer":
        return this.#start(call.value.containerId);
      case "signal":
        return this.#signal(call.value);
      case "getStats":
        return this.#stats();
      case "updateResources":
        return this.#update(call.value);
      case "removeContainer":
        this.#containers.delete(call.value.containerId);
        return done();
      case "exec":
        return this.#exec(call.value);
      default:
        return "silence";
    }
  }

  #create({ containerId, process, resources }: Call<"createContainer">["value"]): Reply {
    const words = process?.arguments ?? [];
    if (words[0] === "missing") {
      return failure(Failure_Code.CODE_COMMAND_NOT_FOUND, 'the image has no "missing"');
    }
    const memoryLimit = resources?.memoryLimitBytes ?? 0n;
    this.#containers.set(containerId, { arguments: words, running: false, memoryLimit });
    return done();
  }

  /** One second of CPU time and a MiB of memory for each container. */
  #stats(): Reply {
    const containers = [...this.#containers].map(([containerId, { memoryLimit }]) =>
      ContainerStats.fromPartial({
        containerId,
        cpuNanoseconds: 1_000_000_000n,
        memoryUsageBytes: 1_048_576n,
        memoryWorkingSetBytes: 524_288n,
        memoryLimitBytes: memoryLimit,
        processes: 1n,
      }),
    );
    const networks = [{ name: "eth0", receivedBytes: 7n }, { name: "net1" }];
    const memory = { guestMemoryTotalBytes: 64n << 20n, guestMemoryAvailableBytes: 60n << 20n };
    const disks = [{ name: "vda", sectorsRead: 8n }];
    const value = Stats.fromPartial({ containers, networks, disks, ...memory } as Partial<Stats>);
    return { $case: "stats", value };
  }

  #update({ containerId, resources }: Call<"updateResources">["value"]): Reply {
    const container = this.#containers.get(containerId);
    if (container === undefined) return failure(Failure_Code.CODE_NOT_FOUND, "no such container");
    container.memoryLimit = resources?.memoryLimitBytes ?? 0n;
    return done();
  }

  #start(containerId: string): Reply {
    const container = this.#containers.get(containerId);
    if (container === undefined) return failure(Failure_Code.CODE_NOT_FOUND, "no such container");
    if (container.running) {
      return failure(Failure_Code.CODE_FAILED_PRECONDITION, "the container runs already");
    }
    const [program, code] = container.arguments;
    if (program === "broken") return failure(Failure_Code.CODE_INTERNAL, "exec format error");
    container.running = true;
    if (program === "exit" || program === "oom") {
      // After the reply, as a process ends after it was started.
      setImmediate(() => {
        container.running = false;
        const outOfMemory = program === "oom";
        this.#onExit(exited(containerId, { exitCode: Number(code ?? 137), outOfMemory }));
      });
    }
    if (program === "later") {
      const [, milliseconds, laterCode] = container.arguments;
      setTimeout(
        () => this.#onExit(exited(containerId, { exitCode: Number(laterCode) })),
        Number(milliseconds),
      );
    }
    return { $case: "started", value: { pid: 2 } };
  }

  #signal({ containerId, execId, signal }: Call<"signal">["value"]): Reply {
    if (execId !== "") {
      if (!this.#execs.delete(execId)) return failure(Failure_Code.CODE_NOT_FOUND, "no such exec");
      this.#endExec(containerId, execId, 128 + signal);
      return done();
    }
    const container = this.#containers.get(containerId);
    if (container === undefined || !container.running) {
      return failure(Failure_Code.CODE_NOT_FOUND, "no such process");
    }
    if (container.arguments[0] === "stubborn" && signal === SIGTERM) return done();
    container.running = false;
    this.#onExit(exited(containerId, { exitCode: 128 + signal, signal }));
    return done();
  }

  #exec({ containerId, execId, process }: Call<"exec">["value"]): Reply {
    const [program, ...words] = process?.arguments ?? [];
    if (program === "missing") {
      return failure(Failure_Code.CODE_COMMAND_NOT_FOUND, 'the image has no "missing"');
    }
    this.#execs.add(execId);
    if (program === "sleep") return { $case: "started", value: { pid: 3 } };
    this.#waiting.set(execId, () => {
      if (program === "echo") this.#write(execId, Stream.STREAM_STDOUT, words.join(" "));
      if (program === "flood") {
        this.#write(execId, Stream.STREAM_STDOUT, Buffer.alloc(Number(words[0]), "o"));
        this.#write(execId, Stream.STREAM_STDERR, Buffer.alloc(Number(words[0]), "e"));
      }
      this.#endExec(containerId, execId, program === "exit" ? Number(words[0]) : 0);
    });
    setImmediate(() => this.#runIfConnected(execId));
    return { $case: "started", value: { pid: 3 } };
  }

  #runIfConnected(execId: string): void {
    const connected = OUTPUTS.every((stream) => this.#streams.has(`${execId} ${stream}`));
    const run = this.#waiting.get(execId);
    if (!connected || run === undefined) return;
    this.#waiting.delete(execId);
    run();
  }

  #write(execId: string, stream: Stream, bytes: string | Buffer): void {
    this.#streams.get(`${execId} ${stream}`)?.write(bytes);
  }

  #endExec(containerId: string, execId: string, exitCode: number): void {
    for (const stream of OUTPUTS) {
      this.#streams.get(`${execId} ${stream}`)?.end();
      this.#streams.delete(`${execId} ${stream}`);
    }
    this.#onExit(exited(containerId, { execId, exitCode }));
  }
}

function done(): Reply {
  return { $case: "done", value: {} };
}

function failure(code: Failure_Code, message: string): Reply {
  return { $case: "failure", value: { code, message } };
}

function exited(containerId: string, end: Partial<ProcessExited>): ProcessExited {
  const nothing = { execId: "", exitCode: 0, signal: 0, outOfMemory: false, ageNanoseconds: 0n };
  return { containerId, ...nothing, ...end };
}
