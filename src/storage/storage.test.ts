import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { afterAll, expect, test } from "vitest";
import { sha256 } from "../base/hash.ts";
import { combineCrc } from "./crc.ts";
import { hashFiles } from "./hashes.ts";
import { createOwner, hiddenName, isReleased } from "./hidden.ts";
import { NamesApart, safePath } from "./names.ts";

const folder = mkdtempSync(join(tmpdir(), "moxi-storage-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("the CRC-32 of a whole follows from those of its pieces", () => {
  const bytes = Buffer.from(Array.from({ length: 1000 }, (_, index) => (index * 7919) & 255));
  for (const cut of [0, 1, 8, 333, 999, 1000]) {
    const [first, second] = [bytes.subarray(0, cut), bytes.subarray(cut)];
    expect(combineCrc(crc32(first), crc32(second), second.length)).toBe(crc32(bytes));
  }
});

test.each([
  "../up",
  "a/../../up",
  "/etc/passwd",
  "a//b",
  "./a",
  "a/",
  "",
  "a\u0000b",
  "new\nline",
  "\u001b[31mred",
  "c1\u009b",
  "a\\b",
  "nul",
  "con.txt",
  "\ud800",
  "lost\ufffd",
  "x".repeat(256),
  "é".repeat(128),
])("the name %j is refused", (name) => {
  const take = () => safePath("/to", name);
  expect(take).toThrow(expect.objectContaining({ code: "E_FILE_NAME", exitCode: 2 }));
  // oxlint-disable-next-line no-control-regex
  expect(take).toThrow(/^[^\u0000-\u001f\u007f-\u009f]+$/);
});

test.each(["a", "a/b.c", "..a", "a..b/...", "x".repeat(255), "é".repeat(127), "日本 (1)+%20"])(
  "the name %j is taken as it is",
  (name) => expect(safePath("/to", name)).toBe(`/to/${name}`),
);

test("two names for one place are refused, whichever comes first", () => {
  const addAll = (names: readonly string[]) => {
    const apart = new NamesApart();
    for (const name of names) apart.add(name);
  };
  addAll(["a/b", "a/c", "ab", "a/d/e"]);
  for (const names of [
    ["a", "a/b"],
    ["A/b", "a/B"],
    ["é", "e\u0301"],
    ["x/y/z", "X"],
    ["x/y/z", "x/Y"],
  ]) {
    const refused = expect.objectContaining({ code: "E_FILE_NAME" });
    expect(() => addAll(names)).toThrow(refused);
    expect(() => addAll(names.toReversed())).toThrow(refused);
  }
});

test("two objects of one folder are never gathered in one file", () => {
  const objects = [
    ["rows-1926.json", "22bc03237452c8b64f1380e2a11d84f7"],
    ["rows-3640.json", "d4249530242056d948420c5212f6f750"],
  ] as const;
  // A short sum does not tell these apart.
  expect(new Set(objects.map(([name, etag]) => crc32(`${name} "${etag}"`))).size).toBe(1);
  const names = objects.map(([name, etag]) => hiddenName(`/to/${name}`, `"${etag}"`, "1-0-0"));
  expect(new Set(names).size).toBe(2);
});

test("what a download leaves is its own while it runs, and anybody's afterwards", async () => {
  const [one, other] = [await createOwner(), await createOwner()];
  expect(one.name).not.toBe(other.name);
  expect(hiddenName("a", "1", one.name)).not.toBe(hiddenName("a", "1", other.name));
  expect(await isReleased(one.name)).toBe(false);
  one.release();
  expect([await isReleased(one.name), await isReleased(other.name)]).toEqual([true, false]);
  other.release();
  const [pid, place, began] = one.name.split("-");
  expect(pid).toBe(String(process.pid));
  const nobody = spawnSync(process.execPath, ["-p", "process.pid"], { encoding: "utf8" });
  const of = (...parts: unknown[]) => isReleased([...parts, "01234567"].join("-"));
  // A process that is no more, and one that runs under the number of one that is no more.
  expect(await of(nobody.stdout.trim(), place, began)).toBe(true);
  expect(await of(process.ppid, place, began)).toBe(true);
  // Another container's, another thread's, one that could not tell when it began.
  expect(await of(nobody.stdout.trim(), "0123456789abcdef", began)).toBe(undefined);
  expect(await of(process.pid, place, began)).toBe(undefined);
  expect(await of(process.ppid, place, "0".repeat(16))).toBe(undefined);
});

test("a file is hashed once, and again when anything about it has changed", async () => {
  const file = join(folder, "data");
  const cache = join(folder, "cache", "hashes.json");
  writeFileSync(file, "one");
  const later = new Date(Date.now() + 60_000);
  const hash = async (now = later) => (await hashFiles([file], cache, now))[0]!.sha256;
  expect(await hash()).toBe(sha256("one"));
  // A wrong entry shows that the file is not read: only its stamp counts.
  const kept = readFileSync(cache, "utf8");
  writeFileSync(cache, kept.replace(sha256("one"), "from-the-cache"));
  expect(await hash()).toBe("from-the-cache");

  // Same size, and the time put back: the inode's own time tells.
  writeFileSync(file, "two");
  utimesSync(file, new Date(0), new Date(0));
  expect(await hash()).toBe(sha256("two"));
});

test("a file that was changed a moment ago is not trusted to stay", async () => {
  const file = join(folder, "fresh");
  const cache = join(folder, "fresh.json");
  writeFileSync(file, "one");
  await hashFiles([file], cache, new Date());
  const { existsSync } = await import("node:fs");
  expect(existsSync(cache)).toBe(false);
});

test("the cache of hashes keeps what was hashed last, and does not grow for ever", async () => {
  const cache = join(folder, "old", "hashes.json");
  const old = Array.from({ length: 5000 }, (_, index) => [`/gone/${index}`, ["1", 1, "x"]]);
  mkdirSync(join(folder, "old"));
  writeFileSync(cache, JSON.stringify(Object.fromEntries(old)));
  const file = join(folder, "new");
  writeFileSync(file, "new");
  await hashFiles([file], cache, new Date(Date.now() + 60_000));
  const kept = Object.keys(JSON.parse(readFileSync(cache, "utf8")) as object);
  expect([kept.length, kept[0], kept.at(-2), kept.at(-1)]).toEqual([
    2000,
    "/gone/3001",
    "/gone/4999",
    file,
  ]);
});
