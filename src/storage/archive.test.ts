import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { createTarPacker, packTar } from "modern-tar";
import type { TarEntry, TarHeader } from "modern-tar";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ErrorCode } from "../base/errors.ts";
import { isMoxiError } from "../base/errors.ts";
import { printable } from "../base/format.ts";
import { extractArchive } from "./archive.ts";
import type { ExtractOptions } from "./archive.ts";

let home: string;
let target: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "moxi-archive-"));
  target = join(home, "inside", "model");
});
afterEach(() => rm(home, { recursive: true, force: true }));

async function* chunks(data: Uint8Array, size = 1000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < data.length; at += size) yield data.subarray(at, at + size);
}

const mtime = new Date(0);
const file = (name: string, body: string | Uint8Array = "content"): TarEntry => ({
  header: { name, size: Buffer.byteLength(body), type: "file", mtime },
  body,
});
const entry = (header: Omit<TarHeader, "size">): TarEntry => ({
  header: { mtime, ...header, size: 0 },
});

const extract = (archive: AsyncIterable<Uint8Array>, options: Partial<ExtractOptions> = {}) =>
  extractArchive(archive, target, { name: "model.tar.gz", ...options });
const unpack = async (entries: readonly TarEntry[], options: Partial<ExtractOptions> = {}) =>
  extract(chunks(gzipSync(await packTar(entries))), options);

/** How it was refused, and what is left of the attempt; a text that could hurt a terminal throws. */
async function refusal(work: Promise<unknown>) {
  const error: unknown = await work.then(() => undefined).catch((thrown: unknown) => thrown);
  if (!isMoxiError(error)) throw new Error("it was not refused", { cause: error });
  const { code, message } = error;
  if (message !== printable(message) || /[\n\t]/.test(message)) throw new Error("unprintable");
  const left = await readdir(home, { recursive: true });
  return { code, message, left: left.filter((name) => name !== "inside") };
}
const refused = (code: ErrorCode, words: RegExp) => ({
  code,
  message: expect.stringMatching(words),
  left: [],
});

test("files and folders come out whole, and nothing of their owners, modes and times", async () => {
  const big = new Uint8Array(700_000).map((_, index) => index % 251);
  const loud = file("run.sh", "#!/bin/sh");
  const { files, bytes } = await unpack([
    entry({ name: "./", type: "directory" }),
    entry({ name: "empty/", type: "directory" }),
    file("./adapter_model.safetensors", big),
    file("checkpoint-2/state.json", "{}"),
    { ...loud, header: { ...loud.header, mode: 0o6777 } },
    file("nothing", ""),
  ]);
  expect(files).toEqual([
    "adapter_model.safetensors",
    "checkpoint-2/state.json",
    "run.sh",
    "nothing",
  ]);
  expect(bytes).toBe(big.length + 2 + 9);
  expect((await readFile(join(target, "adapter_model.safetensors"))).equals(big)).toBe(true);
  expect((await readdir(target)).sort()).toEqual(
    ["adapter_model.safetensors", "checkpoint-2", "empty", "nothing", "run.sh"].sort(),
  );
  expect((await stat(join(target, "run.sh"))).mode & 0o7133).toBe(0);
  expect(await readdir(join(home, "inside"))).toEqual(["model"]);
});

test("an archive that is not packed comes out too", async () => {
  await extract(chunks(await packTar([file("a", "1")]), 1));
  expect(await readFile(join(target, "a"), "utf8")).toBe("1");
});

describe("refused, with nothing left behind:", () => {
  const at = (...entries: TarEntry[]) => [file("first"), ...entries];
  const cases: readonly (readonly [string, readonly TarEntry[], RegExp])[] = [
    ["a path above", at(file("../evil")), /outside it, "\.\.\/evil"/],
    ["a path above, from a folder", at(file("a/b/../../../evil")), /outside/],
    ["a path that comes back", at(file("a/../b")), /outside/],
    ["a folder above", at(entry({ name: "../evil/", type: "directory" })), /outside/],
    ["an absolute path", at(file("/etc/passwd")), /absolute path, "\/etc/],
    ["a Windows drive", at(file("C:/x")), /absolute/],
    ["a Windows path", at(file("a\\..\\..\\evil")), /backslash/],
    ["a UNC path", at(file("\\\\host\\share")), /absolute/],
    ["a symbolic link", at(entry({ name: "l", type: "symlink", linkname: "/etc" })), /a symlink/],
    [
      "a file through a link of its own",
      [entry({ name: "l", type: "symlink", linkname: ".." }), file("l/evil")],
      /symlink, "l"/,
    ],
    ["a hard link", at(entry({ name: "l", type: "link", linkname: "first" })), /a hard link/],
    ["a device", at(entry({ name: "d", type: "character-device" })), /a character-device/],
    ["a block device", at(entry({ name: "d", type: "block-device" })), /a block-device/],
    ["a FIFO", at(entry({ name: "p", type: "fifo" })), /a fifo/],
    ["the same name twice", at(file("first", "other")), /twice/],
    ["the same name on macOS", at(file("FIRST")), /twice/],
    ["the same name, composed otherwise", [file("caf\u00e9"), file("cafe\u0301")], /twice/],
    ["a file that is also a folder", at(file("first/x")), /twice/],
    ["a folder that is also a file", [file("d/x"), file("d")], /twice/],
    ["a newline", at(file("a\nb")), /control or broken/],
    ["an escape sequence", at(file("a\u001b[2Jb")), /control.*\\u001b/],
    [
      "a NUL by way of pax",
      at({ ...file("x"), header: { ...file("x").header, pax: { path: "a\0b" } } }),
      /./,
    ],
    ["text that runs backwards", at(file("safe\u202egpj.exe")), /control/],
    ["a name of 256 bytes", at(file("n".repeat(256))), /too long/],
    ["a path of 2000 bytes", at(file("dir/".repeat(500))), /too long/],
    ["fifty folders deep", at(file("d/".repeat(50) + "x")), /too long/],
  ];
  test.for(cases)("%s", async ([, entries, words]) => {
    expect(await refusal(unpack(entries))).toEqual(refused("E_ARCHIVE", words));
  });
});

test("a name of 255 bytes is safe", async () => {
  const name = "é".repeat(127) + "x";
  await unpack([file(`d/${name}`, "1")]);
  expect(await readFile(join(target, "d", name), "utf8")).toBe("1");
});

test("10 GB of zeros in 10 MB are refused long before the disk is full", async () => {
  let most = 0;
  const bomb = async function* () {
    const { readable, controller } = createTarPacker();
    void controller
      .add({ name: "zeros", size: 8e9, type: "file", mtime })
      .abort()
      .catch(() => {});
    // Sizes above 8 GiB take a second header; the gigabytes after the file's end would be refused too.
    const head = await readable.getReader().read();
    yield gzipSync(head.value!);
    // A gzip file may be many in a row: all alike, so that making it takes no time.
    const zeros = gzipSync(new Uint8Array(16e6), { level: 9 });
    for (let made = 0; made < 10e9; made += 16e6) yield zeros;
  };
  const work = extract(bomb(), { onBytes: (bytes) => (most = bytes) });
  expect(await refusal(work)).toEqual(refused("E_ARCHIVE", /expands more than 200 times/));
  expect(most).toBeGreaterThan(0);
  expect(most).toBeLessThan(100e6);
});

test("weights that pack well are no bomb", async () => {
  // Half random, half zeros, as a fresh adapter is.
  const weights = new Uint8Array(80e6);
  let state = 1;
  for (let index = 0; index < 2e6; index++) {
    state = (state * 1103515245 + 12345) % 2147483648;
    weights[index * 20] = state >> 8;
  }
  const { bytes } = await unpack([file("adapter", weights)]);
  expect(bytes).toBe(80e6);
});

test("limits on bytes and files hold", async () => {
  const many = Array.from({ length: 5 }, (_, index) => file(`f${index}`, "x".repeat(4096)));
  expect(await refusal(unpack(many, { limits: { entries: 4 } }))).toEqual(
    refused("E_ARCHIVE", /more than 4 files/),
  );
  expect(await refusal(unpack(many, { limits: { bytes: 9000 } }))).toEqual(
    refused("E_ARCHIVE", /more than 9\.0 kB/),
  );
});

test("wherever it is cut off, nothing is left", async () => {
  const archive = gzipSync(await packTar([file("a", "x".repeat(3000)), file("b/c")]));
  for (let length = 0; length < archive.length; length += 7) {
    expect(await refusal(extract(chunks(archive.subarray(0, length))))).toEqual(
      refused("E_ARCHIVE", /broken or cut off/),
    );
  }
  const tar = await packTar([file("a", "x".repeat(3000)), file("b/c")]);
  for (const length of [0, 1, 511, 512, 700, 4095, 4608, tar.length - 600]) {
    expect(await refusal(extract(chunks(tar.subarray(0, length))))).toEqual(
      refused("E_ARCHIVE", /broken or cut off/),
    );
  }
});

test("whatever is damaged, nothing gets out of the folder", async () => {
  const tar = await packTar([
    file("a/b", "x".repeat(600)),
    entry({ name: "d/", type: "directory" }),
    { ...file("c"), header: { ...file("c").header, pax: { comment: "pax" } } },
  ]);
  let state = 42;
  const random = (below: number) => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return state % below;
  };
  for (let round = 0; round < 200; round++) {
    const damaged = Uint8Array.from(tar);
    for (let count = 1 + random(4); count > 0; count--) damaged[random(tar.length)] = random(256);
    const ended = await extract(chunks(damaged)).then(
      () => "unpacked",
      (thrown: unknown) => (isMoxiError(thrown) ? thrown.code : thrown),
    );
    expect(["unpacked", "E_ARCHIVE"]).toContain(ended);
    expect(await readdir(home)).toEqual(["inside"]);
    await rm(join(home, "inside"), { recursive: true, force: true });
    await mkdir(join(home, "inside"));
  }
});

test("a folder that holds something is left as it is", async () => {
  await mkdir(target, { recursive: true });
  await writeFile(join(target, "mine"), "1");
  await expect(unpack([file("a")])).rejects.toMatchObject({ code: "E_S3_EXISTS" });
  expect(await readdir(join(home, "inside"))).toEqual(["model"]);
  expect(await readdir(target)).toEqual(["mine"]);
});

test("a broken connection is told as what it is, and an abort stops it", async () => {
  const archive = gzipSync(await packTar([file("a", "x".repeat(100_000))]));
  const broken = async function* () {
    yield archive.subarray(0, 50);
    throw Object.assign(new Error("reset"), { code: "ECONNRESET" });
  };
  await expect(extract(broken())).rejects.toMatchObject({ code: "ECONNRESET" });
  const abort = AbortSignal.abort();
  const work = extract(chunks(archive), { signal: abort });
  expect(await refusal(work)).toEqual(refused("E_INTERRUPTED", /stopped/));
});
