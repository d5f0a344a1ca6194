// Where compiled code is kept between calls: whoever may write there runs code in every later call.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, expect, test } from "vitest";

const bin = resolve(import.meta.dirname, "../bin/moxi.cjs");
const folder = mkdtempSync(join(tmpdir(), "moxi-compiled-"));
afterAll(() => rmSync(folder, { recursive: true }));

function moxi(more: Readonly<Record<string, string | undefined>>) {
  const env = { ...process.env, NODE_COMPILE_CACHE: undefined, XDG_CACHE_HOME: undefined, ...more };
  return spawnSync(process.execPath, [bin, "--version"], { env, encoding: "utf8" });
}

test("compiled code lies in the user's own cache, where nobody else may write", () => {
  const shared = mkdtempSync(join(folder, "shared-"));
  const home = mkdtempSync(join(folder, "home-"));
  expect(moxi({ HOME: home, TMPDIR: shared }).status).toBe(0);
  expect(readdirSync(shared)).toEqual([]);
  const compiled = join(home, ".cache", "moxi", "compiled");
  expect(statSync(compiled).mode & 0o777).toBe(0o700);
  expect(readdirSync(compiled)).toHaveLength(1);
});

test("without a home to keep it in, it is compiled each time", () => {
  const shared = mkdtempSync(join(folder, "shared-"));
  const { status, stderr } = moxi({ HOME: "/dev/null/nobody", TMPDIR: shared });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  expect(readdirSync(shared)).toEqual([]);
});
