import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { programId } from "./program-id.ts";

const root = mkdtempSync(join(tmpdir(), "moxi-program-"));
afterAll(() => rmSync(root, { recursive: true }));

function write(name: string, content: string): string {
  const path = join(root, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  return path;
}

test.each([
  // A thread's program has no hash in its name.
  ["dist/train-a1b2.js", "dist/dataset-worker.js"],
  ["src/api/program-id.ts", "src/dataset/rules/worker.ts"],
  ["src/api/program-id.ts", "node_modules/.package-lock.json"],
])("the program of %s is another when %s is", (file, other) => {
  const at = write(file, "");
  write(other, "one");
  const before = programId(at);
  expect(programId(at)).toBe(before);
  write(other, "other");
  expect(programId(at)).not.toBe(before);
});
