import * as fs from "node:fs";
import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { downloadPrefix } from "../../src/storage/download.ts";
import { Finisher } from "../../src/storage/finish.ts";
import { upload } from "../../src/storage/upload.ts";
import { kinds, startServer } from "./server.ts";
import type { S3Server } from "./server.ts";
import { createDesk, mib } from "./setup.ts";
import type { Desk } from "./setup.ts";

// What a power cut would take. No test cuts the power: what is written to the disk, and when, is watched.

const watched = vi.hoisted(() => ({
  /** The files that got their names, in this order, and whether each was on the disk by then. */
  named: [] as { file: string; onDisk: boolean }[],
  /** By inode, how many files had their names when it was last written to the disk. */
  synced: new Map<bigint, number>(),
}));

const noteSync = vi.hoisted(() => ({ ino }: { readonly ino: bigint }) => {
  watched.synced.set(ino, watched.named.length);
});

vi.mock("node:fs", async (original) => {
  const real = await original<typeof fs>();
  return {
    ...real,
    fsyncSync: (descriptor: number) => {
      real.fsyncSync(descriptor);
      noteSync(real.fstatSync(descriptor, { bigint: true }));
    },
    fsync: (descriptor: number, done: fs.NoParamCallback) => {
      real.fsync(descriptor, (error) => {
        if (error === null) noteSync(real.fstatSync(descriptor, { bigint: true }));
        done(error);
      });
    },
    renameSync: (partial: string, file: string) => {
      const { ino } = real.statSync(partial, { bigint: true });
      watched.named.push({ file, onDisk: watched.synced.has(ino) });
      real.renameSync(partial, file);
    },
  };
});

const folder = fs.mkdtempSync(join(tmpdir(), "moxi-power-"));
beforeAll(async () => {
  const handle = await open(folder);
  const prototype = Object.getPrototypeOf(handle) as {
    sync: (this: FileHandle) => Promise<void>;
  };
  await handle.close();
  const { sync } = prototype;
  vi.spyOn(prototype, "sync").mockImplementation(async function (this: FileHandle) {
    await sync.call(this);
    noteSync(await this.stat({ bigint: true }));
  });
});
afterAll(() => {
  vi.restoreAllMocks();
  fs.rmSync(folder, { recursive: true });
});
beforeEach(() => {
  watched.named.length = 0;
  watched.synced.clear();
});

/** The files, each on the disk before it got its name, in the order of their names. */
const safely = (files: readonly string[]) =>
  files.toSorted().map((file) => ({ file, onDisk: true }));
const named = () => watched.named.toSorted((a, b) => (a.file < b.file ? -1 : 1));

test.each([
  ["that answers at once", 0],
  ["that takes its time", 5],
])("small files are on a disk %s before they get their names", async (_name, takes) => {
  let time = 0;
  const finisher = new Finisher(() => (time += takes));
  const files = Array.from({ length: 20 }, (_, index) => join(folder, `${takes}-${index}`));
  const finish = (file: string) => {
    const partial = `${file}.part`;
    return finisher.finish({ descriptor: fs.openSync(partial, "w"), partial, file });
  };
  await Promise.all(files.map(finish));
  expect(named()).toEqual(safely(files));
});

const kind = kinds[0];

describe.skipIf(kind === undefined)(`a download from ${kind}`, () => {
  let server: S3Server;
  let desk: Desk;

  beforeAll(async () => {
    server = await startServer(kind!);
    desk = createDesk(server);
  });
  afterAll(() => {
    desk?.close();
    server?.stop();
  });

  /** Sends files and fetches them; where they are then. */
  const fetch = async (prefix: string, sizes: Readonly<Record<string, number>>) => {
    const aws = await desk.aws();
    const names = Object.keys(sizes);
    const files = names.map((name) => {
      const key = `${prefix}/${name}`;
      return { path: desk.file(key, sizes[name]!), key };
    });
    await upload(aws, files, { ...desk.options, ifAbsent: false });
    const from = { prefix: `${prefix}/`, folder: join(folder, prefix) };
    // Other threads could not be watched.
    await downloadPrefix(aws, from, { ...desk.options, threads: 0 });
    return names.map((name) => join(from.folder, name));
  };

  test.each([
    ["small", 1000],
    ["large", 11 * mib],
  ])("writes a %s file to the disk before it gets its name", async (name, size) => {
    const files = await fetch(name, { one: size });
    expect(named()).toEqual(safely(files));
  });

  test("writes folders to the disk after all files in them have got their names", async () => {
    const files = await fetch("folders", { small: 1000, large: 11 * mib, "below/small": 1000 });
    const ofFolder = (path: string) => watched.synced.get(fs.statSync(path, { bigint: true }).ino);
    expect(files.map((file) => ofFolder(dirname(file)))).toEqual(files.map(() => files.length));
    // It was there, and got a new folder.
    expect(ofFolder(folder)).toBe(files.length);
  });
});
