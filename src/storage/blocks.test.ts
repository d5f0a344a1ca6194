import { crc32 } from "node:zlib";
import { expect, test } from "vitest";
import { blocksOf, BlockSums, rangesOf } from "./blocks.ts";
import { crc64 } from "./crc64.ts";

const mib = 1 << 20;
const mibOf = (size: number, blockBytes: number, atOnce?: number) =>
  rangesOf(blocksOf(size, blockBytes), atOnce).map(({ length }) => length / mib);

test("blocks cut a size up, the last one shorter", () => {
  expect(blocksOf(25, 10)).toEqual([
    { index: 0, offset: 0, length: 10 },
    { index: 1, offset: 10, length: 10 },
    { index: 2, offset: 20, length: 5 },
  ]);
  expect(blocksOf(0, 10)).toEqual([]);
});

test("ranges are long at first and a block at the end", () => {
  expect(mibOf(20 * mib, mib, 2)).toEqual([5, 4, 3, 2, 2, 1, 1, 1, 1]);
  expect(mibOf(5 * mib, mib)).toEqual([1, 1, 1, 1, 1]);
});

test("a range is no longer than 256 MiB, unless a block is", () => {
  const large = mibOf(100 * 1024 * mib, 16 * mib);
  expect(large[0]).toBe(256);
  expect(large.reduce((sum, each) => sum + each, 0)).toBe(100 * 1024);
  expect(mibOf(1024 * mib, 512 * mib)).toEqual([512, 512]);
});

test("ranges leave out what is there, and cover the rest once", () => {
  const blocks = blocksOf(97, 2).filter(({ index }) => index % 7 !== 3);
  const ranges = rangesOf(blocks, 1);
  const covered = ranges.flatMap(({ offset, length }) =>
    Array.from({ length }, (_, at) => offset + at),
  );
  const wanted = blocks.flatMap(({ offset, length }) =>
    Array.from({ length }, (_, at) => offset + at),
  );
  expect(covered).toEqual(wanted);
  expect(ranges.map(({ first }) => first * 2)).toEqual(ranges.map(({ offset }) => offset));
  expect(Math.max(...ranges.map(({ length }) => length))).toBe(12);
});

const bytes = Buffer.from(Array.from({ length: 25 }, (_, at) => at * 7));
const right = blocksOf(25, 10).map(({ offset, length }) => {
  const block = bytes.subarray(offset, offset + length);
  return { crc: crc32(block), crc64: crc64(block) };
});

test.each([1, 3, 10, 11, 25])("sums of blocks that come in pieces of %i bytes", (piece) => {
  const counted = new BlockSums({ length: 25, blockBytes: 10, crc64: true });
  const told = [];
  for (let at = 0; at < 25; at += piece) {
    told.push(...counted.take(bytes.subarray(at, at + piece), at));
  }
  expect(told).toEqual(right);
  expect(counted.sums).toEqual(right);
});

test("sums begin anew where all that came was thrown away", () => {
  const counted = new BlockSums({ length: 25, blockBytes: 10, crc64: false });
  counted.take(Buffer.alloc(25), 0);
  counted.take(bytes.subarray(0, 14), 0);
  expect(counted.take(bytes.subarray(14), 14)).toHaveLength(2);
  expect(counted.sums).toEqual(right.map(({ crc }) => ({ crc, crc64: undefined })));
});

test.each([
  ["more than the range has", 20, 6],
  ["with a gap before it", 21, 1],
  ["again", 10, 5],
])("what comes %s is refused", (_what, at, bytes) => {
  const counted = new BlockSums({ length: 25, blockBytes: 10, crc64: false });
  counted.take(Buffer.alloc(20), 0);
  expect(() => counted.take(Buffer.alloc(bytes), at)).toThrow(RangeError);
});
