// SPDX-License-Identifier: Apache-2.0
import type { Duplex, Readable, Writable } from "node:stream";
import { Stream } from "../../../cri-proto/generated/lightvm/agent/v1/agent.ts";
import { waitFor } from "../../shared/wait.ts";
import type { PodVm } from "../../toolstack/pod-vm.ts";
import { agentProcess } from "../container/agent-process.ts";
import { type ExecId, exitOfExec, newExec } from "../container/exec-process.ts";
import type { NodeContext } from "../node-context.ts";
import { carryInput, carryOutput } from "./command-streams.ts";
import type {
  CommandStatus,
  RemoteCommandSession,
  WantedStreams,
} from "./remote-command/session.ts";
import { followTerminalSize } from "./terminal.ts";

export interface ExecRequest {
  readonly containerId: string;
  readonly command: readonly string[];
  readonly wanted: WantedStreams;
}

/** Exec: a URL under which one client can run the command. */
export function exec(context: NodeContext, request: ExecRequest): string {
  const container = context.pods.getContainer(request.containerId);
  container.require("running", "execute a command");
  const asked = { ...request, containerId: container.id };
  return context.streaming.offer({
    kind: "exec",
    wanted: request.wanted,
    run: (session) => runExec(context, asked, session),
  });
}

/**
 * Runs the command between the guest and its client. A client that goes takes its streams along: the
 * command reads the end of its input, writes to nobody, and its terminal hangs up. What goes on all the
 * same is its own affair, as with other runtimes.
 */
async function runExec(
  { logger, pods }: NodeContext,
  request: ExecRequest,
  session: RemoteCommandSession,
): Promise<CommandStatus> {
  const execution = newExec(pods, request.containerId);
  const { id, container, vm } = execution;
  await using cleanup = new AsyncDisposableStack();
  const streams = await openStreams(vm, id, session, cleanup);
  const exit = exitOfExec(execution, cleanup);
  const { terminal, stdin } = request.wanted;
  const process = agentProcess(container.metadata, { arguments: request.command, terminal, stdin });
  await vm.call({ $case: "exec", value: { ...id, process } }, { signal: session.gone });
  if (streams.stdin !== undefined) void carryInput(streams.stdin.client, streams.stdin.guest);
  const outputs = streams.outputs.map(({ guest, client }) => carryOutput(guest, client));
  void followTerminalSize(vm, id, session, logger);
  const { exitCode } = await waitFor(exit, "the command", { signal: session.gone });
  // The agent has sent all output before it tells the exit, so it ends by itself.
  await waitFor(Promise.all(outputs), "the command's output", { signal: session.gone });
  const code = exitCode & 0xff;
  return code === 0 ? { kind: "success" } : { kind: "exited", code };
}

interface ExecStreams {
  readonly stdin: { readonly guest: Duplex; readonly client: Readable } | undefined;
  readonly outputs: readonly { readonly guest: Duplex; readonly client: Writable }[];
}

async function openStreams(
  vm: PodVm,
  id: ExecId,
  session: RemoteCommandSession,
  cleanup: AsyncDisposableStack,
): Promise<ExecStreams> {
  const open = async (stream: Stream) => {
    const socket = await vm.openStream({ ...id, stream }, session.gone);
    // Its end is what counts, however it comes.
    socket.on("error", () => undefined);
    return cleanup.adopt(socket, (opened) => void opened.destroy());
  };
  const { stdin, stdout, stderr } = session;
  const outputs = [];
  const input = stdin && { guest: await open(Stream.STREAM_STDIN), client: stdin };
  if (stdout) outputs.push({ guest: await open(Stream.STREAM_STDOUT), client: stdout });
  if (stderr) outputs.push({ guest: await open(Stream.STREAM_STDERR), client: stderr });
  return { stdin: input, outputs };
}
