// SPDX-License-Identifier: Apache-2.0
import type { Duplex, Writable } from "node:stream";
import { Stream } from "../../../cri-proto/generated/lightvm/agent/v1/agent.ts";
import type { Container } from "../../pod/container.ts";
import { waitFor } from "../../shared/wait.ts";
import type { PodVm } from "../../toolstack/pod-vm.ts";
import type { NodeContext } from "../node-context.ts";
import { carryInput, carryOutput } from "./command-streams.ts";
import type {
  CommandStatus,
  RemoteCommandSession,
  WantedStreams,
} from "./remote-command/session.ts";
import { followTerminalSize } from "./terminal.ts";

export interface AttachRequest {
  readonly containerId: string;
  readonly wanted: WantedStreams;
}

/** Attach: a URL under which one client can join the container's own streams. */
export function attach(context: NodeContext, request: AttachRequest): string {
  const container = context.pods.getContainer(request.containerId);
  container.require("running", "be attached to");
  return context.streaming.offer({
    kind: "attach",
    wanted: request.wanted,
    run: (session) => runAttach(context, container.id, session),
  });
}

/**
 * Joins the client to the container until either of them goes. With StdinOnce and no terminal, the end
 * of the client's input is the end of the container's, and its output is still awaited; otherwise the
 * client has detached with it. (containerd does the same, and kubectl relies on it.)
 */
async function runAttach(
  { logger, pods }: NodeContext,
  containerId: string,
  session: RemoteCommandSession,
): Promise<CommandStatus> {
  const container = pods.getContainer(containerId);
  container.require("running", "be attached to");
  const vm = pods.sandboxOf(container).requireVm();
  const { config } = container.metadata;
  await using cleanup = new AsyncDisposableStack();
  const endsStdin = config.stdinOnce && !config.terminal;
  const outputs = await joinOutputs(vm, container, session, cleanup);
  const over = [Promise.all(outputs)];
  if (session.stdin !== undefined && config.stdin) {
    const guest = await join(vm, container, Stream.STREAM_STDIN, endsStdin, session, cleanup);
    const input = carryInput(session.stdin, guest);
    if (!endsStdin || outputs.length === 0) over.push(input.then(() => []));
  }
  void followTerminalSize(vm, { containerId: container.id, execId: "" }, session, logger);
  await waitFor(Promise.race(over), "the container", { signal: session.gone });
  return { kind: "success" };
}

/** Resolves with one promise for each output, which ends with it. */
async function joinOutputs(
  vm: PodVm,
  container: Container,
  session: RemoteCommandSession,
  cleanup: AsyncDisposableStack,
): Promise<Promise<void>[]> {
  const outputs: Promise<void>[] = [];
  const add = async (stream: Stream, client: Writable | undefined) => {
    if (client === undefined) return;
    const guest = await join(vm, container, stream, false, session, cleanup);
    outputs.push(carryOutput(guest, client));
  };
  await add(Stream.STREAM_STDOUT, session.stdout);
  if (!container.metadata.config.terminal) await add(Stream.STREAM_STDERR, session.stderr);
  return outputs;
}

async function join(
  vm: PodVm,
  { id }: Container,
  stream: Stream,
  endsStdin: boolean,
  session: RemoteCommandSession,
  cleanup: AsyncDisposableStack,
): Promise<Duplex> {
  const joined = await vm.attachStream({ containerId: id, stream, endsStdin }, session.gone);
  // Its end is what counts, however it comes.
  joined.on("error", () => undefined);
  cleanup.defer(async () => {
    // Input that the client has sent before it left is still on its way.
    if (stream === Stream.STREAM_STDIN && !joined.destroyed) joined.end();
    else joined.destroy();
  });
  return joined;
}
