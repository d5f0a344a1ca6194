import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts", "examples/**/*.test.ts"],
    // Holds every request to AWS against AWS's own models.
    setupFiles: ["test/contract/setup.ts"],
    execArgv: ["--require", "./test/contract/record.cjs"],
    sequence: { shuffle: true },
    testTimeout: 180_000,
    hookTimeout: 240_000,
  },
});
