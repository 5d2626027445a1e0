// SPDX-License-Identifier: Apache-2.0
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { PodLinks } from "./pod-links.ts";
import { newShellId } from "./shell-directory.ts";

const pod = "a".repeat(64);

let root: string;
let links: PodLinks;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "lightvm-links-"));
  links = new PodLinks({ pods: join(root, "pods"), shells: join(root, "shells") });
});
afterEach(() => rmSync(root, { recursive: true }));

it("leads from a pod to its shell's files, and gives a pod one shell at most", () => {
  const [first, second] = [newShellId(), newShellId()];
  mkdirSync(join(root, "shells", first), { recursive: true });
  expect(links.shellOf(pod)).toBeUndefined();
  expect(links.podIds()).toEqual([]);
  links.add(pod, first);
  expect(links.shellOf(pod)).toBe(first);
  expect(existsSync(join(root, "pods", pod, "."))).toBe(true);
  expect(() => links.add(pod, second)).toThrow(/already/);
  expect(links.shellOf(pod)).toBe(first);
  links.remove(pod);
  links.remove(pod);
  expect(links.podIds()).toEqual([]);
});

it("knows the shell of a pod also when nothing of that is left", () => {
  const shell = newShellId();
  links.add(pod, shell);
  expect(links.shellOf(pod)).toBe(shell);
  expect(links.podIds()).toEqual([pod]);
});

it.each(["", "..", "A".repeat(64), "a".repeat(63)])("refuses %j as a sandbox id", (name) => {
  expect(() => links.add(name, newShellId())).toThrow(/is no sandbox id/);
  expect(() => links.shellOf(name)).toThrow(/is no sandbox id/);
});
