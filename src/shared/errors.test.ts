// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { describeError, firstError, LightvmError } from "./errors.ts";

const pod = new LightvmError("not-found", "no such pod", { cause: new Error("ENOENT") });

it("tells an error and its causes, each once", () => {
  expect(describeError(pod)).toBe("no such pod: ENOENT");
  expect(describeError(new Error("same", { cause: new Error("same") }))).toBe("same");
  expect(describeError("words")).toBe("words");
  expect(firstError(pod)).toBe(pod);
});

it("tells what went wrong before what went wrong in its undo", () => {
  const act = () => {
    using undo = new DisposableStack();
    undo.defer(() => {
      throw new Error("the lock is stuck");
    });
    undo.defer(() => {
      throw new Error("the file is busy");
    });
    throw pod;
  };
  let caught: unknown;
  try {
    act();
  } catch (error) {
    caught = error;
  }
  expect(firstError(caught)).toBe(pod);
  expect(describeError(caught)).toBe(
    "no such pod: ENOENT; and then: the file is busy; and then: the lock is stuck",
  );
});
