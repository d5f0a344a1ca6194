import {
  appendFileSync,
  existsSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { heldOnDisk } from "../../src/storage/leftovers.ts";
import { createOwner, hiddenName } from "../../src/storage/hidden.ts";
import { createMover } from "../../src/storage/mover.ts";
import { downloadPrefix } from "../../src/storage/download.ts";
import { upload } from "../../src/storage/upload.ts";
import { rangeBytes, startFaults } from "./faults.ts";
import type { FaultProxy, Seen } from "./faults.ts";
import { put } from "./foreign.ts";
import { bucket, kinds, startServer } from "./server.ts";
import type { S3Server } from "./server.ts";
import { createDesk, mib } from "./setup.ts";
import type { Desk } from "./setup.ts";

// How a large object is gathered from blocks: what lies beside its place may be of an earlier download,
// of another one that runs, or of nobody who means well.

const kind = kinds[0];
const blockBytes = mib / 8;
const size = 34 * blockBytes;
/** Behind the first block of a range. */
const cutAt = 150_000;

describe.skipIf(kind === undefined).each([0, 2])("with %i threads", (threads) => {
  let server: S3Server;
  let proxy: FaultProxy;
  let desk: Desk;
  let counter = 0;
  let path = "";
  let folder = "";

  beforeAll(async () => {
    server = await startServer(kind!);
    desk = createDesk(server);
  });
  afterAll(() => {
    desk?.close();
    server?.stop();
  });
  beforeEach(async () => {
    proxy?.stop();
    proxy = await startFaults(server);
    counter += 1;
    path = desk.file(`from-${counter}`, size);
    folder = desk.path(`to-${counter}`);
    const key = keyOf();
    const options = { ...desk.options, ifAbsent: false };
    await upload(await desk.aws(), [{ path, key }], options);
  });

  const fetch = async (url = proxy.url) => {
    const from = { prefix: `gather-${counter}/`, folder };
    return downloadPrefix(await desk.aws(url), from, {
      ...desk.options,
      partBytes: blockBytes,
      pauseMs: 0,
      threads,
    });
  };
  const keyOf = () => `gather-${counter}/large`;
  const isWhole = () => readFileSync(join(folder, "large")).equals(readFileSync(path));
  const requireWhole = () => {
    expect(isWhole()).toBe(true);
    expect(readdirSync(folder)).toEqual(["large"]);
  };
  /** How many bytes each request for a range has asked for. */
  const asked = () =>
    proxy.seen.filter(({ operation }) => operation === "GetObject").map(rangeBytes);
  const sum = (sizes: readonly number[]) => sizes.reduce((all, each) => all + each, 0);
  const gets = (nth: (seen: Seen) => boolean) => (seen: Seen) =>
    seen.operation === "GetObject" && nth(seen);

  /** What lies there of a download that was broken off. */
  const left = () => {
    const names = readdirSync(folder);
    const pathOf = (end: string) =>
      join(
        folder,
        names.find((name) => name.endsWith(end))!,
      );
    return { partial: pathOf(".part"), journal: pathOf(".done") };
  };
  /** Leaves a download that was broken off when a block of it had come, and no range whole. */
  const breakOff = async () => {
    const is = gets(({ nth }) => nth === 1);
    proxy.fault = (seen) => {
      if (seen.operation !== "GetObject") return undefined;
      return is(seen) ? { cutAt } : { hangUp: "before" };
    };
    await expect(fetch()).rejects.toMatchObject({ code: "E_NETWORK" });
    proxy.fault = () => undefined;
    return left();
  };

  test("a range of several blocks that breaks off goes on where it was", async () => {
    proxy.fault = (seen) => (gets(({ nth }) => nth === 3)(seen) ? { cutAt } : undefined);
    await fetch();
    requireWhole();
    // Thirty-four blocks: a range has at most as many as leave two for each connection.
    expect(Math.max(...asked())).toBe(3 * blockBytes);
    expect(sum(asked())).toBe(size + asked()[2]! - cutAt);
  });

  test("blocks of a range that never came whole are not fetched again", async () => {
    await breakOff();
    const before = asked().length;
    expect(await fetch()).toMatchObject({ resumedBytes: blockBytes });
    expect(sum(asked().slice(before))).toBe(size - blockBytes);
    requireWhole();
  });

  test("two downloads to one place at once are both right", async () => {
    // The second begins when the first has half of it, and the first ends before it.
    let begin: ((value: undefined) => void) | undefined;
    const begun = new Promise<undefined>((resolve) => (begin = resolve));
    let goOn: ((value: undefined) => void) | undefined;
    const late = new Promise<undefined>((resolve) => (goOn = resolve));
    let count = 0;
    proxy.fault = (seen) => {
      if (seen.operation !== "GetObject") return undefined;
      count += 1;
      if (count === 20) begin!(undefined);
      return count > 30 && count <= 34 ? { later: late } : undefined;
    };
    const first = fetch().then(isWhole);
    await begun;
    const second = fetch().then(isWhole);
    await Promise.race([first, second, new Promise((resolve) => setTimeout(resolve, 300))]);
    goOn!(undefined);
    expect(await Promise.all([first, second])).toEqual([true, true]);
    requireWhole();
  });

  test("what one of two downloads gets wrong is not the other's", async () => {
    let first: Promise<unknown> | undefined;
    const begun = new Promise<void>((resolve) => {
      proxy.fault = ({ operation, nth }) => {
        if (operation === "GetObject" && nth === 20) resolve();
        return undefined;
      };
      first = fetch();
    });
    await begun;
    const wrong = await startFaults(server);
    try {
      wrong.fault = (seen) => (gets(() => true)(seen) ? { flip: "answer" } : undefined);
      const second = fetch(wrong.url);
      await expect(second).rejects.toMatchObject({ code: "E_S3_CHECKSUM" });
      await first;
      requireWhole();
    } finally {
      wrong.stop();
    }
  });

  test("what has been left is gone on with by one of two, and a link is not followed", async () => {
    const { partial, journal } = await breakOff();
    const before = asked().length;
    const ends = await Promise.all([fetch(), fetch()]);
    expect(new Set(ends.map(({ resumedBytes }) => resumedBytes))).toEqual(new Set([0, blockBytes]));
    expect(sum(asked().slice(before))).toBe(2 * size - blockBytes);
    requireWhole();
    writeFileSync(desk.path("mine"), "mine");
    for (const each of [partial, journal]) symlinkSync(desk.path("mine"), each);
    expect(await fetch()).toMatchObject({ resumedBytes: 0 });
    expect(readFileSync(desk.path("mine"), "utf8")).toBe("mine");
    requireWhole();
  });

  test("an object that changes while two fetch it to one place", async () => {
    const key = keyOf();
    const next = desk.file(`next-${counter}`, size);
    let change: Promise<unknown> | undefined;
    const aws = await desk.aws();
    proxy.fault = (seen) => {
      if (seen.operation !== "GetObject" || seen.nth < 12) return undefined;
      change ??= upload(aws, [{ path: next, key }], { ...desk.options, ifAbsent: false });
      return { later: change.then(() => undefined) };
    };
    await Promise.all([fetch(), fetch()]);
    path = next;
    expect(isWhole()).toBe(true);
    requireWhole();
  });

  test("an object in parts that are not of one size, as many as blocks", async () => {
    const key = keyOf();
    path = desk.file(`unequal-${counter}`, 17 * mib);
    const parts = { algorithm: "CRC32", parts: 3, firstBytes: 6 * mib } as const;
    await put(await desk.aws(), key, path, parts);
    await fetch();
    requireWhole();
    proxy.fault = (seen) => (gets(() => true)(seen) ? { flip: "answer" } : undefined);
    rmSync(folder, { recursive: true });
    await expect(fetch()).rejects.toMatchObject({ code: "E_S3_CHECKSUM" });
    // It had to be made, and nothing is in it.
    expect(existsSync(folder)).toBe(false);
  });

  // Threads have no part in the rest, and each takes a second to start.
  if (threads > 0) return;

  test.each<[string, number, (left: { partial: string; journal: string }) => void]>([
    ["a file that is longer", 1, ({ partial }) => appendFileSync(partial, "more")],
    ["a file that is shorter", 0, ({ partial }) => truncateSync(partial, 1000)],
    ["a file that is gone", 0, ({ partial }) => rmSync(partial)],
    ["a journal that is gone", 0, ({ journal }) => rmSync(journal)],
    ["a line that was cut short", 1, ({ journal }) => appendFileSync(journal, "\n[4,21708")],
    [
      "lines that nobody wrote",
      1,
      ({ journal }) =>
        appendFileSync(
          journal,
          '\n[-1,1]\n[1.5,2]\n[1e9,3]\n[3,-1]\n[4,null]\n{"a":1}\nnull\n\0\n[]',
        ),
    ],
    [
      "a journal of another object",
      0,
      ({ journal }) =>
        writeFileSync(journal, readFileSync(journal, "utf8").replace('"size":', '"size":1')),
    ],
  ])("%s", async (_what, blocks, spoil) => {
    const left = await breakOff();
    spoil(left);
    expect(await fetch()).toMatchObject({ resumedBytes: blocks * blockBytes });
    requireWhole();
  });

  test("what was left of another version goes, and nothing else", async () => {
    await breakOff();
    const [running, ended] = [await createOwner(), await createOwner()];
    ended.release();
    const elsewhere = (which: string) => `1-0123456789abcdef-0123456789abcdef-0123456${which}`;
    const others = [
      "other",
      hiddenName("nobody", '"1"', ended.name),
      hiddenName("large", '"1"', running.name),
      hiddenName("large", '"1"', elsewhere("1")),
      // Left of a small object by a power cut.
      hiddenName("small", '"1"', ended.name),
      `${hiddenName("large", '"1"', ended.name)}.done`,
      // Of a process that cannot be looked at, and has written nothing for long.
      hiddenName("large", '"1"', elsewhere("2")),
    ];
    for (const name of others) writeFileSync(join(folder, name), "x");
    utimesSync(join(folder, others.at(-1)!), 0, 0);
    await upload(
      await desk.aws(),
      [
        { path: desk.file(`again-${counter}`, size), key: `gather-${counter}/large` },
        { path: desk.file(`small-${counter}`, 10), key: `gather-${counter}/small` },
      ],
      { ...desk.options, ifAbsent: false },
    );
    expect(await fetch()).toMatchObject({ resumedBytes: 0 });
    const again = readFileSync(desk.path(`again-${counter}`));
    expect(readFileSync(join(folder, "large")).equals(again)).toBe(true);
    expect(readdirSync(folder).sort()).toEqual(["large", "small", ...others.slice(0, 4)].sort());
    running.release();
  });

  test("of several that were broken off the one that has most is gone on with", async () => {
    const { partial, journal } = await breakOff();
    const ended = await createOwner();
    ended.release();
    const { etag } = (await (await desk.aws()).s3().then((s3) => s3.head(bucket, keyOf())))!;
    const names = ["00000000", "ffffffff"].map((which) => {
      const owner = ended.name.replace(/[^-]+$/, which);
      return join(folder, hiddenName("large", etag, owner));
    });
    // One with a journal alone, and one with nothing that can be gone on with.
    writeFileSync(`${names[0]}.done`, readFileSync(journal));
    writeFileSync(names[1]!, "");
    writeFileSync(`${names[1]}.done`, readFileSync(journal, "utf8").split("\n")[0]!);
    for (const name of [`${names[0]}.done`, names[1]!, `${names[1]}.done`]) utimesSync(name, 0, 0);
    expect(existsSync(partial)).toBe(true);
    expect(await fetch()).toMatchObject({ resumedBytes: blockBytes });
    requireWhole();
  });

  test("a line that was cut short spoils none that follows", async () => {
    const { journal } = await breakOff();
    appendFileSync(journal, "\n[4,21708");
    const before = readFileSync(journal, "utf8").length;
    let more = 0;
    proxy.fault = (seen) => {
      if (!gets(() => true)(seen)) return undefined;
      more += 1;
      return more === 1 ? { cutAt } : { hangUp: "before" };
    };
    await expect(fetch()).rejects.toMatchObject({ code: "E_NETWORK" });
    expect(readFileSync(left().journal, "utf8").slice(before)).toMatch(/^\n\[\d+,\d+\]$/);
    proxy.fault = () => undefined;
    expect(await fetch()).toMatchObject({ resumedBytes: 2 * blockBytes });
    requireWhole();
  });

  test("ranges end at their next block once one of them has failed", async () => {
    const aws = await desk.aws(proxy.url);
    const s3 = await aws.s3();
    const key = keyOf();
    const { etag } = (await s3.head(bucket, key))!;
    const file = join(desk.folder, `alone-${counter}`);
    writeFileSync(file, "");
    writeFileSync(`${file}.done`, "");
    const atOnce = { first: 1, most: 1 };
    const mover = createMover(s3.wire(bucket, desk.options), aws.credentials, {
      atOnce,
      partBytes: 0,
      heldBytes: mib,
    });
    try {
      const stop = new Int32Array(new SharedArrayBuffer(4));
      const range = { first: 0, offset: 0, length: size, blockBytes, crc64: false, stop };
      const task = { kind: "range", file, key, etag, ...range } as const;
      const some = mover.run(task, () => Atomics.store(stop, 0, 1));
      await expect(some).rejects.toThrow("another transfer has failed");
      expect(statSync(file).size).toBeLessThan(2 * blockBytes);
      expect(asked()).toHaveLength(1);
      await expect(mover.run(task, () => {})).rejects.toThrow("another transfer has failed");
      expect(asked()).toHaveLength(1);
    } finally {
      mover.close();
    }
  });

  test.each([400, 501])(
    "an object in parts before a service that knows none: %i",
    async (answer) => {
      const key = keyOf();
      path = desk.file(`parts-${counter}`, 11 * mib);
      await put(await desk.aws(), key, path, { algorithm: "CRC32", parts: 2 });
      proxy.fault = ({ operation, part }) =>
        operation === "HeadObject" && part !== undefined ? { answer } : undefined;
      expect(await fetch()).toMatchObject({ resumedBytes: 0 });
      requireWhole();
    },
  );

  test("what an earlier download has left counts as space that is there", async () => {
    const { partial } = await breakOff();
    expect(basename(partial)).toMatch(/^\.moxi-/);
    expect(await heldOnDisk(partial)).toBeGreaterThanOrEqual(blockBytes);
    expect(await heldOnDisk(partial)).toBeLessThan(size);
    expect(await heldOnDisk(`${partial}.none`)).toBe(0);
  });
});
