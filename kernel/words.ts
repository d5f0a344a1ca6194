// The words of a row, in runs of five (shingles): the smallest hash of each bin says what the row is
// like, and a run that a text had lately is one that stands in it again.

import { binsAt, boundsAt, recentAt, sketchAt, wordsAt } from "./memory";

export const mix1: u64 = 0x9e3779b97f4a7c15;
const perDistance: u32 = 0x9e3779b1;
const factors = memory.data<u64>([0x9e3779b19e3779b1, 0x9e3779b19e3779b1]);

const shingleWords: usize = 5;
const recentCells: u32 = 1024;

let rowShingles: u32 = 0;
/** Tells the texts apart that the cells of recent runs have seen. */
let epoch: u32 = 0;

// Of the text that is read: words that wait for the next piece, runs of five, and runs that stood before.
let keptWords: usize = 0;
export let shingles: u32 = 0;
export let repeated: u32 = 0;

/** Begins a row. */
export function beginSketch(): void {
  rowShingles = 0;
  for (let at: usize = 0; at < 256; at += 16) v128.store(at, i64x2.splat(-1), binsAt);
}

/** Begins a text. */
export function beginWords(): void {
  keptWords = 0;
  shingles = repeated = 0;
  epoch += 1;
}

/** Writes the place of each bit, in words of four: what stands behind the last one is written over. */
export function noteBounds(bits: u64, block: usize, to: usize): usize {
  const stop = to + 4 * <usize>popcnt(bits);
  while (to < stop) {
    store<u32>(to, <u32>(block + <usize>ctz(bits)));
    bits &= bits - 1;
    store<u32>(to, <u32>(block + <usize>ctz(bits)), 4);
    bits &= bits - 1;
    store<u32>(to, <u32>(block + <usize>ctz(bits)), 8);
    bits &= bits - 1;
    store<u32>(to, <u32>(block + <usize>ctz(bits)), 12);
    bits &= bits - 1;
    to += 16;
  }
  return stop;
}

/** The same where a word may begin on the byte on which another ends. */
export function noteBreaks(words: u64, before: u64, breaks: u64, block: usize, to: usize): usize {
  const ends = (~words | breaks) & before;
  const starts = words & (~before | breaks);
  for (let bits = ends | starts; bits !== 0; bits &= bits - 1) {
    const place = <u32>(block + <usize>ctz(bits));
    const bit = bits & -bits;
    for (let both = <u32>((ends & bit) !== 0) + <u32>((starts & bit) !== 0); both !== 0; both--) {
      store<u32>(to, place);
      to += 4;
    }
  }
  return to;
}

/**
 * Takes the words of a piece of text into the sketch of the row and the count of what stood before.
 *
 * @param bounds where their bounds end
 * @returns where those of the next piece go
 */
export function countWords(bounds: usize, answer: bool): usize {
  let end = wordsAt + 4 * keptWords;
  for (let pair = boundsAt; pair + 4 < bounds; pair += 8, end += 4) {
    store<u32>(end, hashWord(load<u32>(pair), load<u32>(pair, 4)));
  }
  // Half a pair: a word goes on.
  const open = (bounds - boundsAt) & 4;
  if (open !== 0) store<u32>(boundsAt, load<u32>(bounds - 4));
  const words = (end - wordsAt) / 4;
  if (words < shingleWords) {
    keptWords = words;
    return boundsAt + open;
  }
  const last = end - 16;
  const found = <u32>(words - shingleWords + 1);
  shingles += found;
  rowShingles += found;
  const salt = answer ? epoch * 0x27d4eb2f : 0;
  let again: u32 = 0;
  let at = wordsAt;
  for (; at + 16 <= last; at += 16) {
    const hashes = hashShingles(at);
    again += noteShingle(i32x4.extract_lane(hashes, 0), salt);
    again += noteShingle(i32x4.extract_lane(hashes, 1), salt);
    again += noteShingle(i32x4.extract_lane(hashes, 2), salt);
    again += noteShingle(i32x4.extract_lane(hashes, 3), salt);
  }
  if (at < last) {
    const hashes = hashShingles(at);
    again += noteShingle(i32x4.extract_lane(hashes, 0), salt);
    if (at + 4 < last) again += noteShingle(i32x4.extract_lane(hashes, 1), salt);
    if (at + 8 < last) again += noteShingle(i32x4.extract_lane(hashes, 2), salt);
  }
  repeated += again;
  v128.store(wordsAt, v128.load(last));
  keptWords = shingleWords - 1;
  return boundsAt + open;
}

/** Hashes of four runs of five words, which begin at four words in a row. */
function hashShingles(words: usize): v128 {
  const factor = v128.load(factors);
  let hash = v128.load(words);
  hash = i32x4.add(i32x4.mul(hash, factor), v128.load(words, 4));
  hash = i32x4.add(i32x4.mul(hash, factor), v128.load(words, 8));
  hash = i32x4.add(i32x4.mul(hash, factor), v128.load(words, 12));
  hash = i32x4.add(i32x4.mul(hash, factor), v128.load(words, 16));
  hash = i32x4.mul(v128.xor(hash, i32x4.shr_u(hash, 15)), factor);
  return v128.xor(hash, i32x4.shr_u(hash, 15));
}

function noteShingle(hash: u32, salt: u32): u32 {
  let again: u32 = 0;
  if (salt !== 0) {
    const cell = (hash >> 12) & (4 * recentCells - 4);
    again = <u32>(load<u32>(cell, recentAt) === (hash ^ salt));
    store<u32>(cell, hash ^ salt, recentAt);
  }
  const bin = hash & 0xfc;
  store<u32>(bin, min<u32>(load<u32>(bin, binsAt), hash), binsAt);
  return again;
}

/** Of bytes that are no NUL: those behind the word are shifted out. */
function hashWord(start: usize, end: usize): u32 {
  let left = end - start;
  let hash: u64 = 0;
  for (; left > 8; left -= 8, start += 8) {
    hash = rotl<u64>((hash ^ load<u64>(start)) * mix1, 29);
  }
  hash = (hash ^ (load<u64>(start) << (0 - 8 * <u64>left))) * mix1;
  return <u32>(hash >> 32);
}

/**
 * Writes the row's bins, a byte each; all 0 for a row of few words. Those of one band lie apart:
 * neighbours may have taken theirs from the same one.
 */
export function writeSketch(fewShingles: u32): void {
  if (rowShingles < fewShingles) return memory.fill(sketchAt, 0, 64);
  fillBins();
  for (let at: usize = 0; at < 64; at += 16) {
    // The second byte of each: the first says which bin it is, the others are those of a smallest one.
    const first = v128.and(i32x4.shr_u(v128.load(at, binsAt), 8), i32x4.splat(0xff));
    const second = v128.and(v128.load(at, binsAt + 64), i32x4.splat(0xff00));
    const third = v128.and(i32x4.shl(v128.load(at, binsAt + 128), 8), i32x4.splat(0xff0000));
    const fourth = v128.and(i32x4.shl(v128.load(at, binsAt + 192), 16), i32x4.splat(0xff000000));
    v128.store(at, v128.or(v128.or(first, second), v128.or(third, fourth)), sketchAt);
  }
}

/**
 * An empty bin takes what the next full one has, changed by its distance: so rows have equal bins as
 * often as they have equal runs of words, be they long or short.
 */
function fillBins(): void {
  let empty: u64 = 0;
  for (let bin: usize = 0; bin < 64; bin += 4) {
    const none = i32x4.eq(v128.load(4 * bin, binsAt), i64x2.splat(-1));
    empty |= (<u64>(<u32>i32x4.bitmask(none))) << bin;
  }
  const first = <usize>ctz(~empty);
  // The last bins, if they are empty, take from the first full one.
  const last = load<u32>(4 * first, binsAt) + <u32>first * perDistance;
  for (; empty !== 0;) {
    const bin: usize = 63 - <usize>(<u32>clz(empty));
    empty ^= (<u64>1) << bin;
    const next = bin === 63 ? last : load<u32>(4 * bin, binsAt + 4);
    store<u32>(4 * bin, next + perDistance, binsAt);
  }
}
