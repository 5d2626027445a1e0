// SPDX-License-Identifier: Apache-2.0
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type CallOptions, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import {
  ImageServiceClient,
  RuntimeServiceClient,
} from "../../cri-proto/generated/runtime/v1/api.ts";
import { CriServer } from "../../src/cri/server.ts";
import { PodStore } from "../../src/pod/pod-store.ts";
import { Pods } from "../../src/pod/pods.ts";
import { recover } from "../../src/pod/recovery.ts";
import type { NodeContext } from "../../src/service/node-context.ts";
import { parseConfig } from "../../src/shared/config.ts";
import { Database } from "../../src/shared/database.ts";
import { silentLogger } from "../../src/shared/logger.ts";
import { FakeImages } from "./fake-images.ts";
import { ToolstackBench } from "./toolstack-bench.ts";
import type { VmmBehaviour } from "./vmm-behaviour.ts";

/** One life of lightvmd: everything that a kill would take away. */
interface Life {
  readonly database: Database;
  readonly context: NodeContext;
  readonly server: CriServer;
}

/**
 * A node without Xen and registries: real gRPC server and clients on a real socket, real records,
 * real toolstack; fake hypervisor, VMM processes and images.
 */
export class NodeBench implements AsyncDisposable {
  readonly toolstackBench: ToolstackBench;
  readonly images: FakeImages;
  readonly logDirectory: string;
  readonly runtime: RuntimeServiceClient;
  readonly image: ImageServiceClient;
  #life: Life;

  private constructor(toolstackBench: ToolstackBench, images: FakeImages, life: Life) {
    this.toolstackBench = toolstackBench;
    this.images = images;
    this.logDirectory = join(toolstackBench.root, "logs");
    const address = `unix:${join(toolstackBench.root, "cri.sock")}`;
    this.runtime = new RuntimeServiceClient(address, credentials.createInsecure(), {
      "grpc.max_receive_message_length": 16 * 1024 * 1024,
    });
    this.image = new ImageServiceClient(address, credentials.createInsecure());
    this.#life = life;
  }

  static async start(behaviour: VmmBehaviour): Promise<NodeBench> {
    const toolstackBench = new ToolstackBench(behaviour);
    mkdirSync(join(toolstackBench.root, "state"), { recursive: true });
    const images = new FakeImages(toolstackBench.root);
    await images.pull("registry.test/busybox:1");
    return new NodeBench(toolstackBench, images, await live(toolstackBench, images));
  }

  get context(): NodeContext {
    return this.#life.context;
  }

  get socket(): string {
    return join(this.toolstackBench.root, "cri.sock");
  }

  /** What is left after kill -9: nothing is told, nothing is finished, records stay as they are. */
  async kill(): Promise<void> {
    this.#life.database.close();
    await this.#life.server.close();
  }

  /** Changes records while no lightvmd is there, to what one that was killed would have left. */
  edit(change: (store: PodStore) => void): void {
    using database = new Database(this.toolstackBench.paths.database);
    change(new PodStore(database));
  }

  /** The next lightvmd, over the same directories. */
  async revive(): Promise<void> {
    this.#life = await live(this.toolstackBench, this.images);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.runtime.close();
    this.image.close();
    await this.kill();
    this.toolstackBench[Symbol.dispose]();
  }
}

async function live(bench: ToolstackBench, images: FakeImages): Promise<Life> {
  const config = parseConfig(
    {
      run_directory: join(bench.root, "run"),
      state_directory: join(bench.root, "state"),
      library_directory: join(bench.root, "lib"),
    },
    "the bench",
  );
  const logger = silentLogger();
  const toolstack = bench.toolstack();
  const database = new Database(bench.paths.database);
  const pods = new Pods(new PodStore(database));
  await recover({ pods, toolstack, logger }, bench.signal);
  const checkNode = () => toolstack.checkFiles();
  const context: NodeContext = { config, logger, pods, images, toolstack, checkNode };
  const server = await CriServer.listen(context, join(bench.root, "cri.sock"));
  return { database, context, server };
}

/** Calls a unary method and waits for its answer; rejects with the ServiceError. */
export function call<Request, Response>(
  client: object,
  method: (
    this: never,
    request: Request,
    metadata: Metadata,
    options: Partial<CallOptions>,
    callback: (error: ServiceError | null, response: Response) => void,
  ) => unknown,
  request: Request,
): Promise<Response> {
  const { promise, resolve, reject } = Promise.withResolvers<Response>();
  method.call(client as never, request, new Metadata(), {}, (error, response) =>
    error === null ? resolve(response) : reject(error),
  );
  return promise;
}
