// SPDX-License-Identifier: Apache-2.0
import {
  closeSync,
  existsSync,
  fstatSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { silentLogger } from "../shared/logger.ts";
import { NamespaceReserve } from "./namespace-reserve.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "lightvm-namespaces-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** Namespaces that are numbered files: one is kept by writing its number down. */
class NumberedNamespaces {
  made = 0;
  failure: Error | undefined;
  readonly #numbers = new Map<number, number>();

  async open(): Promise<number> {
    if (this.failure !== undefined) throw this.failure;
    this.made += 1;
    const fd = openSync(join(root, `made-${this.made}`), "w");
    this.#numbers.set(fd, this.made);
    return fd;
  }

  async keep(fd: number, path: string): Promise<void> {
    fstatSync(fd);
    if (existsSync(path)) throw new Error(`${path} exists`);
    writeFileSync(path, String(this.#numbers.get(fd)));
  }
}

const reserve = (namespaces: NumberedNamespaces, size: number, quietMs = 0) =>
  new NamespaceReserve({ namespaces, size, quietMs, logger: silentLogger() });

it("gives out what waits, each once, and makes more when nobody asks any more", async () => {
  const namespaces = new NumberedNamespaces();
  await using two = reserve(namespaces, 2);
  await expect.poll(() => two.waiting).toBe(2);
  await Promise.all(["a", "b", "c"].map((name) => two.keepOneAt(join(root, name))));
  expect(namespaces.made).toBe(3);
  await expect.poll(() => two.waiting).toBe(2);
  expect(namespaces.made).toBe(5);
});

it("makes none in advance while pods come, and none at all with a size of 0", async () => {
  const namespaces = new NumberedNamespaces();
  await using busy = reserve(namespaces, 2, 60_000);
  await using off = reserve(namespaces, 0);
  await busy.keepOneAt(join(root, "a"));
  await off.keepOneAt(join(root, "b"));
  expect([busy.waiting, off.waiting, namespaces.made]).toEqual([0, 0, 2]);
});

it("is filled also when a pod's quiet time is over before the one being made then", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const namespaces = new NumberedNamespaces();
  const { promise: slow, resolve: finish } = Promise.withResolvers<void>();
  const open = namespaces.open.bind(namespaces);
  let opened = 0;
  namespaces.open = async () => {
    opened += 1;
    if (opened === 1) await slow;
    return await open();
  };
  try {
    await using two = reserve(namespaces, 2);
    await vi.advanceTimersByTimeAsync(1);
    expect(opened).toBe(1);
    await two.keepOneAt(join(root, "a"));
    await vi.advanceTimersByTimeAsync(1);
    finish();
    await vi.waitFor(() => expect(two.waiting).toBe(2));
  } finally {
    vi.useRealTimers();
  }
});

it("closes what it has handed on and what still waits", async () => {
  const namespaces = new NumberedNamespaces();
  const opened: number[] = [];
  const open = namespaces.open.bind(namespaces);
  namespaces.open = async () => {
    const fd = await open();
    opened.push(fd);
    return fd;
  };
  {
    await using one = reserve(namespaces, 1);
    await one.keepOneAt(join(root, "a"));
    await expect(one.keepOneAt(join(root, "a"))).rejects.toThrow("exists");
    await expect.poll(() => one.waiting).toBe(1);
  }
  for (const fd of opened) expect(() => closeSync(fd)).toThrow("EBADF");
});

it("serves a pod although none could be made in advance", async () => {
  const namespaces = new NumberedNamespaces();
  namespaces.failure = new Error("no memory");
  await using one = reserve(namespaces, 1);
  await expect(one.keepOneAt(join(root, "a"))).rejects.toThrow("no memory");
  namespaces.failure = undefined;
  await one.keepOneAt(join(root, "a"));
  await expect.poll(() => one.waiting).toBe(1);
});
