// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { describeError, LightvmError } from "../../shared/errors.ts";
import { chooseVersion, SUPPORTED_VERSIONS } from "./versions.ts";

/** One plugin of a list. What we don't know is the plugin's own and passed on. */
const pluginSchema = z.looseObject({
  /** Name of the executable; never a path. */
  type: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]*$/, "is no plugin's name"),
  capabilities: z.record(z.string(), z.boolean()).optional(),
});

const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]*$/, "is no network's name");
/** Written as true or "true" (CNI 1.1, section 1). */
const flag = z.union([z.boolean(), z.stringbool()]).default(false);

const offered = {
  name,
  cniVersion: z.string().optional(),
  cniVersions: z.array(z.string()).default([]),
};

const listSchema = z.object({
  ...offered,
  disableCheck: flag,
  disableGC: flag,
  plugins: z.array(pluginSchema).min(1),
});

const singleSchema = z.looseObject({ ...offered, type: z.string() });

/** A network as its plugins make it: the configuration file, checked. */
export const networkListSchema = z.object({
  name,
  version: z.enum(SUPPORTED_VERSIONS),
  disableCheck: z.boolean(),
  disableGC: z.boolean(),
  plugins: z.array(pluginSchema).min(1),
});

export type NetworkList = z.output<typeof networkListSchema>;
export type PluginConfig = z.output<typeof pluginSchema>;

const EXTENSIONS = [".conf", ".conflist", ".json"];

/**
 * The node's network: the first file by name that is one. Throws "failed-precondition" with what is
 * wrong with the others when there is none.
 *
 * Read whenever it is needed: a few small files, and nothing can be missed that changes in between.
 */
export function readNetworkList(directory: string): NetworkList {
  const problems: string[] = [];
  for (const file of configFiles(directory)) {
    try {
      return parseNetworkList(readFileSync(join(directory, file), "utf8"));
    } catch (error) {
      problems.push(`${file}: ${describeError(error)}`);
    }
  }
  const why = problems.length === 0 ? "it holds none" : problems.join("; ");
  throw new LightvmError(
    "failed-precondition",
    `there is no CNI network configuration in ${directory}: ${why}`,
  );
}

function configFiles(directory: string): string[] {
  try {
    const names = readdirSync(directory);
    return names.filter((file) => EXTENSIONS.some((end) => file.endsWith(end))).sort();
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw new LightvmError("failed-precondition", `cannot read ${directory}`, { cause });
  }
}

/** Checks the content of one file: a list, or the single plugin of older versions. */
export function parseNetworkList(text: string): NetworkList {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (cause) {
    throw new LightvmError("failed-precondition", "it is not valid JSON", { cause });
  }
  const isList = typeof document === "object" && document !== null && "plugins" in document;
  const result = isList ? listSchema.safeParse(document) : singleSchema.safeParse(document);
  if (!result.success) {
    throw new LightvmError("failed-precondition", z.prettifyError(result.error));
  }
  return isList ? fromList(listSchema.parse(document)) : fromSingle(singleSchema.parse(document));
}

function fromList(list: z.output<typeof listSchema>): NetworkList {
  const { disableCheck, disableGC, plugins } = list;
  return { name: list.name, version: versionOf(list), disableCheck, disableGC, plugins };
}

function fromSingle(single: z.output<typeof singleSchema>): NetworkList {
  const { name, cniVersion, cniVersions, ...plugin } = single;
  const version = versionOf({ cniVersion, cniVersions });
  const plugins = [pluginSchema.parse(plugin)];
  return { name, version, disableCheck: false, disableGC: false, plugins };
}

function versionOf(list: { cniVersion?: string | undefined; cniVersions: string[] }) {
  return chooseVersion([
    ...(list.cniVersion === undefined ? [] : [list.cniVersion]),
    ...list.cniVersions,
  ]);
}
