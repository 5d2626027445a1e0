// SPDX-License-Identifier: Apache-2.0
import type { Duplex } from "node:stream";
import { describeError } from "../../../shared/errors.ts";
import type { Logger } from "../../../shared/logger.ts";
import { SpdyConnection } from "../spdy/connection.ts";
import type { SpdyStream } from "../spdy/stream.ts";
import type { ForwardTicket } from "../stream-tickets.ts";
import { carryBothWays } from "./carry.ts";

/** How long a client may take from one stream of a pair to the other. */
const PAIR_MS = 30_000;
const MAX_PORT = 0xffff;

/** The two streams of one forwarded connection. */
interface Pair {
  readonly port: number;
  data?: SpdyStream;
  error?: SpdyStream;
  readonly timer: NodeJS.Timeout;
}

/**
 * Port forwarding over SPDY: for each connection the client opens a stream "error" and a stream "data"
 * with one "requestid". Bytes go over the second; over the first, at most, why there are none.
 * Resolves when the connection is over.
 */
export async function forwardOverSpdy(
  { socket, head }: { readonly socket: Duplex; readonly head: Buffer },
  { connect }: Pick<ForwardTicket, "connect">,
  logger: Logger,
): Promise<void> {
  const pairs = new Map<string, Pair>();
  const gone = new AbortController();
  const connection = new SpdyConnection(socket, head, {
    accept: (stream) => {
      const [id, pair] = addToPair(pairs, stream) ?? [];
      if (id === undefined || pair === undefined) return false;
      if (pair.data !== undefined && pair.error !== undefined) {
        clearTimeout(pair.timer);
        pairs.delete(id);
        void forwardPair(pair.port, { data: pair.data, error: pair.error });
      }
      return true;
    },
  });
  const forwardPair = async (port: number, pair: { data: SpdyStream; error: SpdyStream }) => {
    try {
      const pod = await connect(port, gone.signal);
      await carryBothWays({ input: pair.data, output: pair.data }, pod);
    } catch (error) {
      logger.debug({ error, port }, "a forwarded connection has failed");
      pair.error.write(describeError(error));
      if (!pair.data.writableEnded) pair.data.end();
    }
    pair.error.end();
    // Whatever still comes is for nobody.
    pair.data.resume();
  };
  await connection.ended;
  gone.abort();
  for (const { timer } of pairs.values()) clearTimeout(timer);
}

/** The pair that the stream belongs to; undefined when it is none that we can serve. */
function addToPair(pairs: Map<string, Pair>, stream: SpdyStream): [string, Pair] | undefined {
  const { headers } = stream;
  const type = headers.get("streamtype");
  const port = Number(headers.get("port"));
  if (type !== "data" && type !== "error") return undefined;
  if (!Number.isInteger(port) || port < 1 || port > MAX_PORT) return undefined;
  // Clients from before request ids open the two one after the other, "error" first.
  const id = headers.get("requestid") ?? `#${type === "error" ? stream.id : stream.id - 2}`;
  const pair = pairs.get(id) ?? newPair(pairs, id, port);
  if (pair.port !== port || pair[type] !== undefined) return undefined;
  pair[type] = stream;
  if (type === "error") stream.resume();
  return [id, pair];
}

function newPair(pairs: Map<string, Pair>, id: string, port: number): Pair {
  const timer = setTimeout(() => {
    pairs.delete(id);
    for (const stream of [pair.data, pair.error]) stream?.destroy();
  }, PAIR_MS);
  const pair: Pair = { port, timer };
  pairs.set(id, pair);
  return pair;
}
