// SPDX-License-Identifier: Apache-2.0
import { type DestinationStream, type Logger, pino } from "pino";
import type { LogLevel } from "./config.ts";
import { describeError } from "./errors.ts";

export type { Logger };

/**
 * JSON lines on stderr, one object an event: `time` (ISO 8601), `level` by name, `msg` a stable
 * sentence to search for, everything variable in fields of its own. An `error` field is printed as
 * its chain of messages; the stack only at level debug and below.
 */
export function createLogger(
  options: { level: LogLevel },
  destination?: DestinationStream,
): Logger {
  const verbose = options.level === "debug" || options.level === "trace";
  return pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: {
        error: (error: unknown) =>
          verbose && error instanceof Error
            ? { message: describeError(error), stack: error.stack }
            : describeError(error),
      },
    },
    destination ?? pino.destination({ fd: 2, sync: true }),
  );
}

/** A logger that drops everything, for tests and one-shot commands. */
export function silentLogger(): Logger {
  return pino({ level: "silent" });
}
