// SPDX-License-Identifier: Apache-2.0
import { closeSync, fstatSync, openSync } from "node:fs";
import { beforeEach, expect, it } from "vitest";
import { type FileSender, handAllToVmm, handToVmm } from "./vmm-files.ts";

let sent: (readonly number[])[];
let answer: Promise<void>;
const sender: FileSender = {
  sendFiles: (_path, _hello, fds) => {
    sent.push(fds);
    return answer;
  },
};
const wait = { timeoutMs: 1000 };
const isOpen = (fd: number) => {
  try {
    return fstatSync(fd).isCharacterDevice();
  } catch {
    return false;
  }
};

beforeEach(() => {
  sent = [];
  answer = Promise.resolve();
});

it("hands all files over by one message, and names them", async () => {
  const fd = openSync("/dev/null", "r");
  const files = {
    first: { path: "/dev/null", flags: "r" },
    none: undefined,
    open: { fd, what: "a test's file" },
  };
  const tokens = await handToVmm(sender, "socket", files, wait);
  expect(sent.map((fds) => fds.length)).toEqual([2]);
  expect(tokens.none).toBe(0n);
  expect(new Set([tokens.first, tokens.open, 0n]).size).toBe(3);
  // What was opened for this is closed, what was open before is not.
  expect(sent[0]?.map(isOpen)).toEqual([false, true]);
  closeSync(fd);
});

it("asks the VMM nothing when there is no file", async () => {
  expect(await handToVmm(sender, "socket", { log: undefined }, wait)).toEqual({ log: 0n });
  expect(sent).toEqual([]);
});

it("closes what it has opened when the VMM takes nothing, or a file is missing", async () => {
  const present = { path: "/dev/null", flags: "r" };
  answer = Promise.reject(new Error("nobody listens"));
  await expect(handToVmm(sender, "socket", { present }, wait)).rejects.toThrow("nobody listens");
  expect(sent[0]?.map(isOpen)).toEqual([false]);
  const missing = { path: "/does/not/exist", flags: "r" };
  await expect(handToVmm(sender, "socket", { present, missing }, wait)).rejects.toMatchObject({
    code: "not-found",
    message: "cannot open /does/not/exist",
  });
  expect(sent).toHaveLength(1);
});

it("opens nothing when there are more files than a message carries", async () => {
  const five = Array.from({ length: 5 }, () => ({ path: "/does/not/exist", flags: "r" }));
  const handing = handAllToVmm(sender, "socket", five, wait);
  await expect(handing).rejects.toThrow("it takes 4 at a time");
  expect(sent).toEqual([]);
});
