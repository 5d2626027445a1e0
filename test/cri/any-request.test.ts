// SPDX-License-Identifier: Apache-2.0
//
// Every verb of the CRI with whatever the schema allows, and a little more: the answer is a right
// status, the server lives on, nothing is left.
import { type Client, type ClientReadableStream, type ServiceError, status } from "@grpc/grpc-js";
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  ImageServiceService,
  RuntimeServiceService,
} from "../../cri-proto/generated/runtime/v1/api.ts";
import { AnyMessage } from "../harness/any-message.ts";
import { CriClient } from "../harness/cri-client.ts";
import { describeSchemas, OWN_SCHEMAS } from "../harness/descriptors.ts";
import { NodeBench } from "../harness/node-bench.ts";

const RUNS = Number(process.env["LIGHTVM_PROPERTY_RUNS"] ?? 25);
/** A call that has not ended by then waits for something, which only `ALSO_RIGHT` allows. */
const DEADLINE_MS = 10_000;
/** For those that may wait. */
const PATIENCE_MS = 500;
/** Verb → what is right for it beside `RIGHT`. */
const ALSO_RIGHT: Readonly<Record<string, status>> = {
  ExecSync: status.DEADLINE_EXCEEDED,
  GetContainerEvents: status.DEADLINE_EXCEEDED,
  // The registry's host may be any word.
  PullImage: status.UNAVAILABLE,
};

/** What a caller may have done wrong, or what may be wrong with the node. */
const RIGHT: ReadonlySet<status> = new Set([
  ...[status.OK, status.INVALID_ARGUMENT, status.NOT_FOUND, status.ALREADY_EXISTS],
  ...[status.FAILED_PRECONDITION, status.RESOURCE_EXHAUSTED, status.UNIMPLEMENTED],
]);

interface Verb {
  readonly path: string;
  readonly responseStream: boolean;
  readonly requestDeserialize: (bytes: Buffer) => unknown;
}

const schemas = describeSchemas(OWN_SCHEMAS);
const inputs = new Map(
  schemas.file
    .flatMap(({ service = [] }) => service)
    .flatMap(({ method }) => method)
    .map(({ inputType, name }) => [name, inputType]),
);
const runtimeVerbs: readonly Verb[] = Object.values(RuntimeServiceService);
const imageVerbs: readonly Verb[] = Object.values(ImageServiceService);
const same = (bytes: Buffer) => bytes;
const nameOf = ({ path }: Verb) => path.slice(path.lastIndexOf("/") + 1);

function decodes(verb: Verb, bytes: Buffer): boolean {
  try {
    verb.requestDeserialize(bytes);
    return true;
  } catch {
    return false;
  }
}

describe("any request", () => {
  let bench: NodeBench;
  let cri: CriClient;
  let any: AnyMessage;
  beforeAll(async () => {
    bench = await NodeBench.start({ guest: "boots", runsContainers: true });
    cri = new CriClient(bench);
    const pod = await cri.runPod();
    const container = await cri.create(pod, { command: ["sleep"] });
    await cri.start(container);
    const words = ["web", "sleep", "lightvm", "registry.test/busybox:1", bench.toolstackBench.root];
    any = new AnyMessage(schemas, [pod, container, ...words]);
  }, 60_000);
  afterAll(async () => await bench[Symbol.asyncDispose]());

  function ask(client: Client, verb: Verb, bytes: Buffer): Promise<status> {
    const { promise, resolve } = Promise.withResolvers<status>();
    const mayWait = ALSO_RIGHT[nameOf(verb)] === status.DEADLINE_EXCEEDED;
    const options = { deadline: Date.now() + (mayWait ? PATIENCE_MS : DEADLINE_MS) };
    if (!verb.responseStream) {
      client.makeUnaryRequest(verb.path, same, same, bytes, options, (error) =>
        resolve(error?.code ?? status.OK),
      );
      return promise;
    }
    const stream: ClientReadableStream<Buffer> = client.makeServerStreamRequest(
      ...([verb.path, same, same, bytes, options] as const),
    );
    // Events go on for ever: having begun is success.
    stream.on("metadata", () => {
      resolve(status.OK);
      stream.cancel();
    });
    stream.on("data", () => undefined);
    stream.on("error", ({ code }: ServiceError) => resolve(code));
    stream.on("end", () => resolve(status.OK));
    return promise;
  }

  const all = [
    ...runtimeVerbs.map((verb) => ["runtime", nameOf(verb), verb] as const),
    ...imageVerbs.map((verb) => ["image", nameOf(verb), verb] as const),
  ];
  it.each(all)(
    "gets a right answer of %s %s",
    { timeout: 300_000 },
    async (service, name, verb) => {
      const client = bench.endpoint[service];
      const request = any.of(inputs.get(name) ?? "");
      await fc.assert(
        fc.asyncProperty(request, async (bytes) => {
          const code = await ask(client, verb, bytes);
          if (code === ALSO_RIGHT[name]) return;
          // gRPC itself says INTERNAL to bytes that are no message.
          const expected = decodes(verb, bytes) ? RIGHT : new Set([status.INTERNAL]);
          expect(
            expected,
            `${status[code]} to ${bytes.toString("base64").slice(0, 400)}`,
          ).toContain(code);
        }),
        { numRuns: RUNS },
      );
      expect((await cri.version()).runtimeName).toBe("lightvm");
    },
  );

  it("has left nothing that cannot be removed", { timeout: 120_000 }, async () => {
    for (const { id } of await cri.pods()) await cri.removePod(id);
    expect(await cri.containers()).toEqual([]);
    expect(bench.toolstackBench.leftovers()).toEqual([]);
  });
});
