// SPDX-License-Identifier: Apache-2.0

/**
 * What kind of failure an error is, independent of the layer that reports it. `src/cri` turns it
 * into a gRPC status in exactly one place; everything else only chooses the right word.
 */
export type ErrorCode =
  /** The request itself can never succeed as it stands. */
  | "invalid-argument"
  /** No such sandbox, container, image or file. */
  | "not-found"
  /** It exists already, with other properties than those asked for. */
  | "already-exists"
  /** Right request, wrong moment: the object is not in the state that the call needs. */
  | "failed-precondition"
  /** Memory, disk, slots or another finite thing ran out. */
  | "resource-exhausted"
  /** Credentials are missing or refused. */
  | "unauthenticated"
  /** A peer (registry, VMM, guest, hypervisor) cannot be reached now; a later try may succeed. */
  | "unavailable"
  /** A deadline passed. */
  | "deadline-exceeded"
  /** The caller gave up. */
  | "cancelled"
  /** Data that must be intact is not: a digest mismatch, a damaged journal. */
  | "data-loss"
  /** The feature does not exist here. */
  | "unimplemented"
  /** A defect of ours. */
  | "internal";

/**
 * An error of this project. `message` speaks of its own layer only: what happened, to which pod or
 * image, and what to do next. The layer below is in `cause` and is printed once, at the top.
 */
export class LightvmError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "LightvmError";
    this.code = code;
  }
}

/** What went wrong first: where an undo has failed after it, `using` throws the two as one. */
export function firstError(error: unknown): unknown {
  return error instanceof SuppressedError ? firstError(error.suppressed) : error;
}

/**
 * The error's message followed by its causes', outermost first, each once: "a: b: c"; and then what
 * went wrong when it was undone.
 */
export function describeError(error: unknown): string {
  if (error instanceof SuppressedError) {
    return `${describeError(error.suppressed)}; and then: ${describeError(error.error)}`;
  }
  const parts: string[] = [];
  for (let current: unknown = error; current !== undefined && current !== null; ) {
    const message = current instanceof Error ? current.message : String(current);
    if (message !== "" && parts.at(-1) !== message) parts.push(message);
    current = current instanceof Error ? current.cause : undefined;
  }
  return parts.join(": ");
}
