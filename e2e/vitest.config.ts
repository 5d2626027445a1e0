// SPDX-License-Identifier: Apache-2.0
import { defineConfig } from "vitest/config";

/** LIGHTVM_THOROUGH: also the tests that boot boxes of their own, or take too long for every run. */
const thorough = process.env["LIGHTVM_THOROUGH"] !== undefined;

/** Tests on a real Xen. One box for all of them, so one file at a time. */
export default defineConfig({
  test: {
    include: ["e2e/{functional,security}/**/*.test.ts", "e2e/performance/*.test.ts"],
    exclude: thorough ? [] : ["**/*.thorough.test.ts"],
    globalSetup: "e2e/framework/box-for-tests.ts",
    setupFiles: "e2e/framework/log-of-failures.ts",
    fileParallelism: false,
    testTimeout: 240_000,
    hookTimeout: 240_000,
  },
});
