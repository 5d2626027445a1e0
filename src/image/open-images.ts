// SPDX-License-Identifier: Apache-2.0
import type { Config } from "../shared/config.ts";
import type { Database } from "../shared/database.ts";
import type { Logger } from "../shared/logger.ts";
import { type PackErofs, packErofs } from "./erofs.ts";
import { ImageStore } from "./image-store.ts";
import type { Images } from "./images.ts";
import { NodeImages } from "./node-images.ts";

export interface OpenImagesOptions {
  readonly config: Config["image"];
  readonly database: Database;
  /** Where the images live; this process's alone. Made if it is not there. */
  readonly directory: string;
  readonly logger: Logger;
  /** mkfs.erofs unless the caller brings another. */
  readonly packErofs?: PackErofs;
}

/** Opens the images of this node, and removes what an earlier process left unfinished. */
export async function openImages(options: OpenImagesOptions): Promise<Images> {
  const { config, database, directory, logger } = options;
  const store = await ImageStore.open(directory, database, logger);
  return new NodeImages({ config, logger, store, packErofs: options.packErofs ?? packErofs });
}
