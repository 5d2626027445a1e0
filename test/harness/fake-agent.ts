// SPDX-License-Identifier: Apache-2.0
import {
  type AgentMessage,
  ContainerStats,
  Failure_Code,
  type HostMessage,
  type ProcessExited,
  Stats,
  Stream,
} from "../../cri-proto/generated/lightvm/agent/v1/agent.ts";
import { FakeStreams } from "./fake-streams.ts";

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
 *   run WORD…      (exec) a command of this machine
 *   terminal       (exec) writes the size of its terminal whenever it is told one
 *
 * A container that is attached to writes what it reads, until its stdin ends.
 */
export class FakeAgent {
  readonly #containers = new Map<string, FakeContainer>();
  readonly #execs = new Set<string>();
  readonly streams: FakeStreams;
  readonly #onExit: (exit: ProcessExited) => void;

  constructor(onExit: (exit: ProcessExited) => void) {
    this.#onExit = onExit;
    this.streams = new FakeStreams((containerId) => this.#end(containerId, { exitCode: 0 }));
  }

  /** The reply to one call; "silence" = not one of ours. */
  answer(call: HostMessage["call"]): Reply {
    switch (call?.$case) {
      case "configureNetwork":
      case "configureSandbox":
      case "forgoMemory":
      case "forgoProcessors":
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
      case "resizeTerminal": {
        const { execId, width, height } = call.value;
        this.#write(execId, Stream.STREAM_STDOUT, `${width}x${height}\n`);
        return done();
      }
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
    return { $case: "containerCreated", value: { uid: 1000, gid: 1000, groups: [1000, 2000] } };
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
    this.#end(containerId, { exitCode: 128 + signal, signal });
    return done();
  }

  #end(containerId: string, end: Partial<ProcessExited>): void {
    const container = this.#containers.get(containerId);
    if (container?.running !== true) return;
    container.running = false;
    this.streams.endAttached(containerId);
    this.#onExit(exited(containerId, end));
  }

  #exec({ containerId, execId, process }: Call<"exec">["value"]): Reply {
    const [program, ...words] = process?.arguments ?? [];
    if (program === "missing") {
      return failure(Failure_Code.CODE_COMMAND_NOT_FOUND, 'the image has no "missing"');
    }
    this.#execs.add(execId);
    if (program === "sleep") return { $case: "started", value: { pid: 3 } };
    if (program === "terminal") return { $case: "started", value: { pid: 3 } };
    if (program === "run") {
      const end = (code: number) => this.#endExec(containerId, execId, code);
      afterTurns(() => this.streams.run(execId, words, end));
      return { $case: "started", value: { pid: 3 } };
    }
    const connected = () => OUTPUTS.every((stream) => this.streams.get(execId, stream));
    this.streams.when(connected, () => {
      if (program === "echo") this.#write(execId, Stream.STREAM_STDOUT, words.join(" "));
      if (program === "flood") {
        this.#write(execId, Stream.STREAM_STDOUT, Buffer.alloc(Number(words[0]), "o"));
        this.#write(execId, Stream.STREAM_STDERR, Buffer.alloc(Number(words[0]), "e"));
      }
      this.#endExec(containerId, execId, program === "exit" ? Number(words[0]) : 0);
    });
    return { $case: "started", value: { pid: 3 } };
  }

  #write(execId: string, stream: Stream, bytes: string | Buffer): void {
    this.streams.get(execId, stream)?.write(bytes);
  }

  #endExec(containerId: string, execId: string, exitCode: number): void {
    this.streams.endExec(execId);
    this.#onExit(exited(containerId, { execId, exitCode }));
  }
}

/** Streams that were opened before the call are connected, but their hellos may be unread. */
function afterTurns(act: () => void, turns = 5): void {
  setImmediate(turns === 0 ? act : () => afterTurns(act, turns - 1));
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
