import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    environment: "happy-dom",
    include: ["tests/**/*.test.ts"],
    pool: "threads",
    isolate: false,
    maxWorkers: 2,
  },
});
