// SPDX-License-Identifier: Apache-2.0
import { isDeepStrictEqual } from "node:util";
import { type Config, loadConfig } from "./shared/config.ts";
import type { Logger } from "./shared/logger.ts";

/** Sections and keys that a running lightvmd can take over. */
const LIVE = ["pool", "log.level"];

/**
 * Reads the configuration again and returns what holds from now on: the file's values where a
 * running lightvmd can take them over, the current ones elsewhere. What needs a restart is named in
 * the log; a file that is not valid changes nothing.
 */
export function reloadConfig(current: Config, path: string | undefined, logger: Logger): Config {
  let next: Config;
  try {
    next = loadConfig(path);
  } catch (error) {
    logger.error({ error }, "the configuration is not taken over; the one before stays");
    return current;
  }
  const changed = changedKeys(current, next);
  const isLive = (key: string) => LIVE.some((live) => key === live || key.startsWith(`${live}.`));
  const needRestart = changed.filter((key) => !isLive(key));
  logger.info({ changed: changed.filter(isLive) }, "the configuration is read again");
  if (needRestart.length > 0) logger.warn({ needRestart }, "some settings wait for a restart");
  return { ...current, pool: next.pool, log: { ...current.log, level: next.log.level } };
}

/** Dotted keys whose values differ; a list counts as one value. */
function changedKeys(before: object, after: object, prefix = ""): string[] {
  const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return keys.flatMap((key) => {
    const [old, fresh] = [before, after].map((from) => (from as Record<string, unknown>)[key]);
    if (isTable(old) && isTable(fresh)) return changedKeys(old, fresh, `${prefix}${key}.`);
    return isDeepStrictEqual(old, fresh) ? [] : [`${prefix}${key}`];
  });
}

function isTable(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
