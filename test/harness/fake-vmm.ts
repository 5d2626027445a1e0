// SPDX-License-Identifier: Apache-2.0
//
// Test only: a process that speaks vmm.proto like lightvm-vmm, without Xen. Its domains are files
// that FakeHypervisor reads, its guest is `behaviour`. Started as
//   fake-vmm.ts BEHAVIOUR-FILE DOMAINS-DIRECTORY --socket PATH
import {
  appendFileSync,
  existsSync,
  linkSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { createServer, Socket } from "node:net";
import { join } from "node:path";
import {
  Failure_Code as AgentFailureCode,
  type AgentMessage,
  type HostMessage,
  type ProcessExited,
} from "../../cri-proto/generated/lightvm/agent/v1/agent.ts";
import {
  ClientHello,
  ClientHello_Purpose,
  ClientMessage,
  Failure_Code,
  type GuestEnd,
  GuestEnd_Reason,
  JournalRecord,
  State_Phase,
  VmmMessage,
} from "../../cri-proto/generated/lightvm/vmm/v1/vmm.ts";
import { encodeFrame, FrameDecoder, LENGTH_BYTES } from "../../src/vmm/framing.ts";
import { FakeAgent } from "./fake-agent.ts";
import type { VmmBehaviour } from "./vmm-behaviour.ts";

const [behaviourFile = "", domains = "", , socketPath = ""] = process.argv.slice(2);
const behaviour = JSON.parse(readFileSync(behaviourFile, "utf8")) as VmmBehaviour;

const controls = new Set<Socket>();
const files = new Map<bigint, number>();
const exits: ProcessExited[] = [];
/** Device id → whether it is a disk. */
const devices = new Map<number, boolean>();
let lastDevice = 3;
const agent = behaviour.runsContainers === true ? new FakeAgent(processExited) : undefined;
let phase: State_Phase = State_Phase.PHASE_STARTED;
let domid = 0;
let end: GuestEnd | undefined;
let bootLog: number | undefined;
let journal: number | undefined;
let consoleContainer = "";
let consoleLog: number | undefined;
let commandLine = "";
let alive = false;

function dieIf(step: VmmBehaviour["dieAt"]): void {
  if (behaviour.dieAt !== step) return;
  console.error(`boom at ${step}`);
  process.exit(7);
}

function send(socket: Socket, id: bigint, body: VmmMessage["body"]): void {
  socket.write(encodeFrame(VmmMessage.encode({ id, body }).finish()));
}

function broadcast(body: VmmMessage["body"]): void {
  for (const socket of controls) send(socket, 0n, body);
}

function record(entry: JournalRecord["record"]): void {
  if (journal === undefined) return;
  const bytes = JournalRecord.encode({ realtimeNanoseconds: 1n, record: entry }).finish();
  writeSync(journal, encodeFrame(bytes));
}

function endGuest(reason: GuestEnd_Reason, message: string): void {
  phase = State_Phase.PHASE_ENDED;
  end = { reason, message, realtimeNanoseconds: 42n };
  record({ $case: "ended", value: end });
  broadcast({ $case: "guestEvent", value: { event: { $case: "ended", value: end } } });
}

function processExited(exit: ProcessExited): void {
  if (exit.execId === "") {
    exits.push(exit);
    record({ $case: "exited", value: exit });
  }
  broadcast({ $case: "processExited", value: exit });
}

/** FakeHypervisor.unpauseDomain: the guest runs, or runs on. */
function boot(): void {
  if (phase !== State_Phase.PHASE_EXECUTED) return;
  dieIf("boot");
  if (bootLog !== undefined) writeSync(bootLog, "Linux version fake\nKernel panic - not syncing\n");
  if (behaviour.guest === "panics") endGuest(GuestEnd_Reason.REASON_PANIC, "the guest panicked");
  if (behaviour.guest === "crashes") writeDomain({ shutdown: "crash" });
  if (behaviour.guest === "is alive") {
    alive = true;
    if (consoleLog !== undefined) writeSync(consoleLog, `${commandLine}\n`);
    broadcast({ $case: "guestEvent", value: { event: { $case: "alive", value: {} } } });
  }
  if (behaviour.guest !== "boots") return;
  phase = State_Phase.PHASE_READY;
  const hello = { protocolVersion: 1, agentVersion: "0", bootNanoseconds: 1n, kernelRelease: "6" };
  record({ $case: "ready", value: hello });
  broadcast({ $case: "guestEvent", value: { event: { $case: "agentReady", value: hello } } });
}

/** Changes its domain; who reads the file at the same time sees all of the change or none. */
function writeDomain(change: object): void {
  const file = join(domains, String(domid));
  const before = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : {};
  renameSync(domainDraft({ ...before, ...change }), file);
}

/** Makes a domain under the first number that is free; other VMMs do the same at the same time. */
function newDomain(uuid: string, memory: number): void {
  const draft = domainDraft({ uuid, pid: process.pid, paused: true, memory });
  for (domid = 1; !claimed(draft); ) domid += 1;
  rmSync(draft);
}

function claimed(draft: string): boolean {
  try {
    linkSync(draft, join(domains, String(domid)));
    return true;
  } catch (error) {
    // Anything else, and there will never be a number: a test that is over has removed the directory.
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

function domainDraft(domain: object): string {
  const draft = join(domains, "..", `domain-of-${process.pid}`);
  writeFileSync(draft, JSON.stringify(domain));
  return draft;
}

function answerAgent(call: HostMessage["call"]): AgentMessage["body"] | "silence" {
  const answered = agent?.answer(call) ?? "silence";
  if (answered !== "silence") return answered;
  switch (call?.$case) {
    case "ping":
    case "forgoMemory":
    case "forgoProcessors":
      return { $case: "done", value: {} };
    case "createContainer":
      return {
        $case: "failure",
        value: { code: AgentFailureCode.CODE_COMMAND_NOT_FOUND, message: "no such command" },
      };
    case "startContainer":
      return { $case: "started", value: { pid: 5 } };
    case "signal": {
      const exit: ProcessExited = {
        containerId: call.value.containerId,
        execId: "",
        exitCode: 128 + call.value.signal,
        signal: call.value.signal,
        outOfMemory: false,
        ageNanoseconds: 0n,
      };
      processExited(exit);
      if (behaviour.dieAt === "signal") process.kill(process.pid, "SIGKILL");
      return { $case: "done", value: {} };
    }
    case "shutdown":
      if (behaviour.ignoresShutdown !== true) {
        endGuest(GuestEnd_Reason.REASON_POWEROFF, "the guest powered off");
      }
      return { $case: "done", value: {} };
    default:
      return "silence";
  }
}

function answer({ call }: ClientMessage): VmmMessage["body"] | "silence" {
  switch (call?.$case) {
    case "prepare":
      dieIf("prepare");
      if (behaviour.hangsAt === "prepare") return "silence";
      if (behaviour.prepareFails !== undefined) {
        const message = behaviour.prepareFails;
        return { $case: "failure", value: { code: Failure_Code.CODE_NO_MEMORY, message } };
      }
      newDomain(call.value.uuid.toString("hex"), Number(call.value.memoryBytes));
      phase = State_Phase.PHASE_PREPARED;
      dieIf("prepared");
      return { $case: "prepared", value: { domid, breakdown: { steps: [step("create")] } } };
    case "load":
      dieIf("load");
      bootLog = files.get(call.value.bootLogFile);
      journal = files.get(call.value.journalFile);
      phase = State_Phase.PHASE_LOADED;
      return { $case: "loaded", value: { breakdown: { steps: [step("copy kernel")] } } };
    case "execute":
      dieIf("execute");
      if (behaviour.hangsAt === "execute") return "silence";
      if (call.value.kernelFile === 0n && phase !== State_Phase.PHASE_LOADED) {
        const message = "no kernel is loaded";
        return {
          $case: "failure",
          value: { code: Failure_Code.CODE_FAILED_PRECONDITION, message },
        };
      }
      bootLog = files.get(call.value.bootLogFile) ?? bootLog;
      journal = files.get(call.value.journalFile) ?? journal;
      consoleContainer = call.value.consoleContainerId;
      commandLine = call.value.commandLine;
      phase = State_Phase.PHASE_EXECUTED;
      return { $case: "executed", value: { breakdown: { steps: [step("load")] } } };
    case "attachFilesystem":
    case "attachBlock":
    case "attachNetwork":
      lastDevice += 1;
      devices.set(lastDevice, call.$case === "attachBlock");
      return { $case: "deviceAttached", value: { deviceId: lastDevice } };
    case "detachDevice": {
      if (devices.delete(call.value.deviceId)) return { $case: "done", value: {} };
      const message = "no device has this id";
      return { $case: "failure", value: { code: Failure_Code.CODE_INVALID, message } };
    }
    case "setContainerLog": {
      const file = files.get(call.value.file);
      if (call.value.containerId === consoleContainer) consoleLog = file;
      else if (file !== undefined) writeSync(file, `log of ${call.value.containerId}\n`);
      return { $case: "done", value: {} };
    }
    case "callAgent": {
      const body = answerAgent(call.value.call?.call);
      return body === "silence" ? body : { $case: "agentReply", value: { id: 1n, body } };
    }
    case "powerOff":
      if (behaviour.ignoresShutdown !== true) {
        endGuest(GuestEnd_Reason.REASON_POWEROFF, "the guest powered off");
      }
      return { $case: "done", value: {} };
    case "getState":
      return {
        $case: "state",
        value: {
          phase,
          domid,
          agent: undefined,
          end,
          exits,
          deviceIds: [...devices.keys()],
          blockDeviceIds: [...devices].filter(([, disk]) => disk).map(([id]) => id),
          residentBytes: 1n,
          alive,
        },
      };
    default:
      return { $case: "done", value: {} };
  }
}

function step(name: string) {
  return { name, nanoseconds: 5n, hypercalls: 2, bytesCopied: 1n };
}

/** Port forwarding: the guest answers when it has connected. */
function answersLater(socket: Socket, { id, call }: ClientMessage): boolean {
  const agentCall = call?.$case === "callAgent" ? call.value.call?.call : undefined;
  if (agentCall?.$case !== "portForward" || agent === undefined) return false;
  const { forwardId, port } = agentCall.value;
  agent.streams.forward(forwardId, port, (error) => {
    const code = AgentFailureCode.CODE_INTERNAL;
    const body: AgentMessage["body"] =
      error === undefined
        ? { $case: "done", value: {} }
        : { $case: "failure", value: { code, message: error.message } };
    send(socket, id, { $case: "agentReply", value: { id: 1n, body } });
  });
  return true;
}

function serveControl(socket: Socket): (frame: Buffer) => void {
  controls.add(socket);
  socket.on("close", () => {
    controls.delete(socket);
    // Nobody will ever prepare this one.
    if (phase === State_Phase.PHASE_STARTED && controls.size === 0) process.exit(0);
  });
  return (frame) => {
    const message = ClientMessage.decode(frame);
    if (answersLater(socket, message)) return;
    const body = answer(message);
    if (message.call?.$case === "quit") {
      if (behaviour.ignoresQuit === true) return;
      send(socket, message.id, body === "silence" ? undefined : body);
      socket.end(() => process.exit(0));
    } else if (body !== "silence") send(socket, message.id, body);
  };
}

/** Node cannot receive a descriptor, so FakeHypervisor sends a path behind the hello. */
function serveFiles(socket: Socket, tokens: readonly bigint[]): (frame: Buffer) => void {
  return (frame) => {
    dieIf("files");
    const messages = JSON.parse(frame.toString("utf8")) as FileMessage[];
    for (const [index, { path, append }] of messages.entries()) {
      files.set(tokens[index] ?? 0n, openSync(path, append ? "a" : "r"));
    }
    socket.write(Buffer.of(0));
  };
}

interface FileMessage {
  path: string;
  append: boolean;
}

function serve(socket: Socket): void {
  const decoder = new FrameDecoder();
  let handle: ((frame: Buffer) => void) | undefined;
  const receive = (chunk: Buffer) => {
    for (const frame of decoder.push(chunk)) handle?.(frame);
  };
  socket.on("error", () => undefined);
  // The hello comes whole: it is short, and written at once.
  socket.once("readable", () => {
    const chunk: Buffer | null = socket.read();
    if (chunk === null) return;
    const end = LENGTH_BYTES + chunk.readUInt32LE(0);
    const hello = ClientHello.decode(chunk.subarray(LENGTH_BYTES, end));
    const rest = chunk.subarray(end);
    switch (hello.purpose) {
      case ClientHello_Purpose.PURPOSE_STREAM:
      case ClientHello_Purpose.PURPOSE_ATTACH:
        if (rest.length > 0) socket.unshift(rest);
        serveStream(socket, hello);
        return;
      case ClientHello_Purpose.PURPOSE_FILES:
        handle = serveFiles(socket, hello.fileTokens);
        break;
      default:
        handle = serveControl(socket);
    }
    socket.on("end", () => socket.end());
    socket.on("data", receive);
    receive(rest);
  });
}

function serveStream(socket: Socket, { endsStdin, purpose, stream }: ClientHello): void {
  if (stream === undefined) return;
  if (agent === undefined) {
    socket.write(`hello ${stream.containerId}\n`);
    socket.pipe(socket);
  } else if (purpose === ClientHello_Purpose.PURPOSE_ATTACH) {
    agent.streams.attach(stream, endsStdin, socket);
  } else agent.streams.add(stream, socket);
}

dieIf("start");
process.on("SIGUSR2", boot);
createServer({ allowHalfOpen: true }, serve).listen(socketPath, () => {
  appendFileSync(join(domains, "..", "started"), `${process.pid}\n`);
  serve(new Socket({ fd: 3, readable: true, writable: true }));
});
