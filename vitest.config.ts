// SPDX-License-Identifier: Apache-2.0
import { defineConfig } from "vitest/config";

/** Unit tests stand beside the code, tests across modules under test/. e2e/ has its own runner. */
export default defineConfig({
  test: {
    include: [
      "src/**/*.test.ts",
      "test/**/*.test.ts",
      "native/build/**/*.test.ts",
      "e2e/box/**/*.test.ts",
      "e2e/conformance/**/*.test.ts",
      "e2e/framework/**/*.test.ts",
      "e2e/performance/report/**/*.test.ts",
    ],
    testTimeout: 30_000,
  },
});
