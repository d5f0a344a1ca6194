import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { Finisher } from "./finish.ts";

const folder = mkdtempSync(join(tmpdir(), "moxi-finish-"));
afterEach(() => {
  for (const name of readdirSync(folder)) rmSync(join(folder, name));
});

function written(name: string) {
  const partial = join(folder, `.${name}`);
  const descriptor = openSync(partial, "w");
  writeSync(descriptor, name);
  return { descriptor, partial, file: join(folder, name) };
}

test("files get their names, however many come", async () => {
  const finisher = new Finisher();
  const names = Array.from({ length: 150 }, (_, index) => `file-${index}`);
  await Promise.all(names.map((name) => finisher.finish(written(name))));
  expect(readdirSync(folder).sort()).toEqual(names.sort());
  expect(names.map((name) => readFileSync(join(folder, name), "utf8"))).toEqual(names);
});

test("a file that cannot be put on the disk gets no name, and the others do", async () => {
  const finisher = new Finisher();
  const lost = written("lost");
  const kept = finisher.finish(written("kept"));
  // A descriptor that is not open stands for a disk that fails.
  closeSync(lost.descriptor);
  const failed = finisher.finish({ ...lost, descriptor: 1 << 30 });
  await expect(failed).rejects.toThrow("EBADF");
  await kept;
  expect(readdirSync(folder)).toEqual(["kept"]);
});
