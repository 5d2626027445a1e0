// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import { type NodeParts, type ServingNode, serveNode } from "../../src/serve-node.ts";
import { type Config, parseConfig } from "../../src/shared/config.ts";
import { Database } from "../../src/shared/database.ts";
import { nodePaths } from "../../src/shared/paths.ts";

/** The configuration of a node whose directories are all below `root`; `more` is as in its file. */
export function benchConfig(root: string, more: object = {}): Config {
  return parseConfig(
    {
      ...more,
      socket: join(root, "cri.sock"),
      run_directory: join(root, "run"),
      state_directory: join(root, "state"),
      library_directory: join(root, "lib"),
    },
    "the bench",
  );
}

/** One life of lightvmd, with everything that a kill takes away. */
export async function startLife(
  root: string,
  parts: Omit<NodeParts, "config" | "database">,
  settings: object = {},
): Promise<ServingNode> {
  await using started = new AsyncDisposableStack();
  const config = benchConfig(root, settings);
  const database = started.use(new Database(nodePaths(config).database));
  const node = await serveNode({ ...parts, config, database }, new AbortController().signal);
  started.use(node);
  const life = started.move();
  return { context: node.context, [Symbol.asyncDispose]: () => life.disposeAsync() };
}
