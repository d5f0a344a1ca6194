import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
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

/** Disks by how many milliseconds they take. */
const disks = [
  ["that answers at once", 0],
  ["that takes its time", 5],
] as const;

describe.each(disks)("on a disk %s", (_name, takes) => {
  const finisher = () => {
    let time = 0;
    return new Finisher(() => (time += takes));
  };

  test("files get their names, however many come", async () => {
    const all = finisher();
    const names = Array.from({ length: 150 }, (_, index) => `file-${index}`);
    await Promise.all(names.map((name) => all.finish(written(name))));
    expect(readdirSync(folder).sort()).toEqual(names.sort());
    expect(names.map((name) => readFileSync(join(folder, name), "utf8"))).toEqual(names);
  });

  test("a file that cannot be put on the disk gets no name, and the others do", async () => {
    const all = finisher();
    await Promise.all(["1", "2", "3"].map((name) => all.finish(written(name))));
    const lost = written("lost");
    const kept = all.finish(written("kept"));
    // A descriptor that is not open stands for a disk that fails.
    closeSync(lost.descriptor);
    const failed = all.finish({ ...lost, descriptor: 1 << 30 });
    await expect(failed).rejects.toThrow("EBADF");
    await kept;
    expect(readdirSync(folder).sort()).toEqual(["1", "2", "3", "kept"]);
  });
});

test.each(disks)("a disk %s is waited for as long as it answers at once", async (_name, takes) => {
  let time = 0;
  let asked = 0;
  const finisher = new Finisher(() => {
    asked += 1;
    return (time += takes);
  });
  const names = Array.from({ length: 100 }, (_, index) => `${index}`);
  await Promise.all(names.map((name) => finisher.finish(written(name))));
  expect(asked).toBe(2 * (takes === 0 ? 100 : 3));
});

test("nor is one that answers at once now and then", async () => {
  let time = 0;
  let asked = 0;
  const finisher = new Finisher(() => {
    asked += 1;
    return (time += asked % 6 === 0 ? 0 : 5);
  });
  const names = Array.from({ length: 100 }, (_, index) => `${index}`);
  await Promise.all(names.map((name) => finisher.finish(written(name))));
  expect(asked).toBeLessThan(20);
});

test("a file that can neither be named nor removed fails alone", async () => {
  const finisher = new Finisher();
  const stuck = join(folder, "stuck");
  mkdirSync(stuck);
  const { descriptor } = written("unused");
  const failed = finisher.finish({ descriptor, partial: stuck, file: join(folder, ".unused") });
  const after = finisher.finish(written("after"));
  await expect(failed).rejects.toMatchObject({ syscall: "rename" });
  await after;
  rmdirSync(stuck);
});
