// SPDX-License-Identifier: Apache-2.0
import { execFile } from "node:child_process";
import { resolve } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { Box } from "../box/box.ts";

const DEMO = resolve(import.meta.dirname, "../demo/main.ts");

it("the demo shows a pod's whole life, says what took how long, and leaves no machine", async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [DEMO], { timeout: 230_000 });
  expect(stdout).toMatch(/hello from Linux \d+\.\d+/);
  expect(stdout).toMatch(/Xen: domain \d+, \d+(\.\d+)? MiB, paging: .*hap/);
  expect(stdout).toMatch(/no domain, process, mount, network device or file/);
  expect(stdout).toMatch(/What took how long/);
  const steps = [...stdout.matchAll(/^\[(\d+)\/(\d+)\]/gm)];
  expect(steps.length).toBeGreaterThan(10);
  expect(steps.at(-1)?.[1], "the steps were counted").toBe(steps.at(-1)?.[2]);
  expect(Box.named("demo").running).toBe(false);
  console.log(/^.* all together$/m.exec(stdout)?.[0]);
});
