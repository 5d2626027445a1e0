// SPDX-License-Identifier: Apache-2.0
import type { Duplex } from "node:stream";
import { type ProcessExited, Stream } from "../../../cri-proto/generated/lightvm/agent/v1/agent.ts";
import { LightvmError } from "../../shared/errors.ts";
import { waitFor } from "../../shared/wait.ts";
import type { NodeContext } from "../node-context.ts";
import { agentProcess } from "./agent-process.ts";
import { type Collected, collect } from "./collect.ts";
import { type ExecProcess, exitOfExec, newExec } from "./exec-process.ts";

/** Together they must fit into one gRPC message of 16 MiB, or the caller would get neither. */
const MAX_STREAM_BYTES = 16_000_000;
const MAX_TOTAL_BYTES = 16 * 1024 * 1024 - 4096;
/** From the exit of the command until its streams have ended too. */
const DRAIN_MS = 10_000;
/** For a command to die of SIGKILL, and for the guest to say so. */
const KILL_MS = 10_000;
const SIGKILL = 9;

export interface ExecSyncRequest {
  readonly containerId: string;
  readonly command: readonly string[];
  /** 0 = no limit. */
  readonly timeoutMs: number;
}

export interface ExecSyncResult {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  readonly exitCode: number;
}

/**
 * ExecSync: one more process in a running container, its output, how it ended. Throws
 * "deadline-exceeded" when the timeout has ended it.
 */
export async function execSync(
  { logger, pods }: NodeContext,
  request: ExecSyncRequest,
  signal: AbortSignal,
): Promise<ExecSyncResult> {
  const execution = newExec(pods, request.containerId);
  const { id, container, vm } = execution;
  await using cleanup = new AsyncDisposableStack();
  const open = async (stream: Stream): Promise<Collected> => {
    const socket = cleanup.adopt(await vm.openStream({ ...id, stream }, signal), destroy);
    return collect(socket, MAX_STREAM_BYTES);
  };
  const stdout = await open(Stream.STREAM_STDOUT);
  const stderr = await open(Stream.STREAM_STDERR);
  const exit = exitOfExec(execution, cleanup);
  const process = agentProcess(container.metadata, { arguments: request.command });
  let exited: ProcessExited;
  try {
    await vm.call({ $case: "exec", value: { ...id, process } }, { signal });
    const timeoutMs = request.timeoutMs > 0 ? request.timeoutMs : undefined;
    exited = await waitFor(exit, "the command", { signal, timeoutMs });
  } catch (error) {
    // It may run, even if the guest has not said so yet. Other errors: it was refused, or the guest is lost.
    if (wasGivenUp(error)) {
      await end(execution, exit).catch((cause) =>
        logger.debug({ error: cause, ...id }, "a command could not be killed"),
      );
    }
    throw error;
  }
  await drained([stdout, stderr], signal);
  const out = stdout.bytes();
  const room = Math.max(0, MAX_TOTAL_BYTES - out.length);
  return {
    stdout: out,
    stderr: stderr.bytes().subarray(0, room),
    exitCode: exited.exitCode & 0xff,
  };
}

function wasGivenUp(error: unknown): boolean {
  return error instanceof LightvmError && ["cancelled", "deadline-exceeded"].includes(error.code);
}

/** Kills a command and what it has started; when it returns, they are gone. The container runs on. */
async function end({ id, vm }: ExecProcess, exit: Promise<ProcessExited>): Promise<void> {
  // Whoever asked for the command may have gone already.
  const wait = { signal: new AbortController().signal, timeoutMs: KILL_MS };
  await vm.call({ $case: "signal", value: { ...id, signal: SIGKILL, all: true } }, wait);
  await waitFor(exit, "the end of a killed command", wait);
}

function destroy(socket: Duplex): void {
  socket.destroy();
}

/** A process that the command has left behind may hold its streams: what came so far counts. */
async function drained(streams: readonly Collected[], signal: AbortSignal): Promise<void> {
  const ends = Promise.all(streams.map(({ ended }) => ended)).then(() => undefined);
  try {
    await waitFor(ends, "the command's output", { signal, timeoutMs: DRAIN_MS });
  } catch (error) {
    if (!(error instanceof LightvmError) || error.code !== "deadline-exceeded") throw error;
  }
}
