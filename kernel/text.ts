// One look at every byte of a text, 64 at a time: its identity, its words, and whether one of the
// rules has to look closer. What is flagged may be nothing; what is not flagged is nothing.

import {
  seenControl,
  seenForeign,
  seenKey,
  seenNumber,
  seenOpenEnd,
  seenRefusal,
  seenText,
} from "./flags";
import { isAlone, joinsNumber, judge, judgeForeign, mayRefuse } from "./judge";
import { binsAt, recentAt, sketchAt } from "./memory";

// What is kept of a text, as u32, in bytes from its place in the table.
const lengthField: usize = 8;
const flagsField: usize = 12;
const shinglesField: usize = 16;
const repeatedField: usize = 20;
const prefixField: usize = 24;

const shingleWords: u32 = 5;
const recentCells: u32 = 1024;
const longToken: u32 = 20;
const prefixBytes: usize = 24;

const mix1: u64 = 0x9e3779b97f4a7c15;
const mix2: u64 = 0xc2b2ae3d27d4eb4f;
const base: u64 = 0x9e3779b97f4a7c55;
/** The base to the fifth power: takes the oldest word out of the rolling hash. */
const oldest: u64 = base * base * base * base * base;

// A byte is of a class where the entries of its two halves share a bit:
// 1 "@", 2 "<", 4 "[", 8 "`", 16 "~", 32 "-" and "/", 64 "+", 128 "_".
const judged: i8 = 0x3f;
const inTokens: i8 = -32;

let identity: u64 = 0;
let rowShingles: u32 = 0;
let epoch: u32 = 0;

export function begin(): void {
  identity = 0x811c9dc5;
  rowShingles = 0;
  memory.fill(binsAt, 0xff, 256);
}

/** What was read since the beginning of the row, in 53 bits. */
export function rowIdentity(): f64 {
  const mixed = (identity ^ (identity >> 32)) * mix2;
  return <f64>((mixed ^ (mixed >> 29)) >> 11);
}

/** Sets texts and roles apart: ["ab", "c"] is not ["a", "bc"]. */
export function separate(mark: u32): void {
  identity = rotl<u64>((identity ^ <u64>mark) * mix1, 29);
}

/**
 * Writes the row's bins, a byte each from 1 to 255; all 0 for a row of few words. An empty bin takes
 * what the next full one has, changed by its distance: so rows have equal bins as often as they have
 * equal runs of words, be they long or short.
 */
export function writeSketch(fewShingles: u32): void {
  if (rowShingles < fewShingles) return memory.fill(sketchAt, 0, 64);
  let bin: usize = 0;
  while (load<u32>(binsAt + 4 * bin) === 0xffffffff) bin += 1;
  // The last bins, if they are empty, take from the first full one.
  let next = load<u32>(binsAt + 4 * bin);
  let distance = <u32>bin;
  for (bin = 63; bin < 64; bin--) {
    const value = load<u32>(binsAt + 4 * bin);
    distance = value === 0xffffffff ? distance + 1 : 0;
    if (value !== 0xffffffff) next = value;
    // Bins of one band lie apart: neighbours may have taken theirs from the same one.
    const place = sketchAt + 4 * (bin & 15) + (bin >> 4);
    store<u8>(place, <u8>(1 + (((next + distance * 0x9e3779b1) >> 8) % 255)));
  }
}

/**
 * Reads a text, behind which blanks stand, and writes to a place in the table of texts what it found.
 *
 * @param sketched it counts for what the row is like
 * @param answer it is what the model learns to say
 */
export function scanText(text: usize, size: usize, at: usize, sketched: bool, answer: bool): void {
  const lows = i8x16(9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 68, 2, 32, 16, -96);
  const highs = i8x16(0, 0, 96, 2, 1, -124, 8, 16, 0, 0, 0, 0, 0, 0, 0, 0);
  const end = text + size;
  let flags: u32 = 0;
  let h1: u64 = identity ^ (<u64>size * mix2);
  let h2: u64 = h1 ^ mix1;
  let units = <u32>size;
  // What goes on from one block into the next.
  let lastWord: u64 = 0;
  let lastAlone: u64 = 0;
  let tokenRun: u32 = 0;
  let lastDigit: usize = 0;
  let digitRun: u32 = 0;
  let start: usize = 0;
  // The last five words and their rolling hash.
  let w1: u64 = 0;
  let w2: u64 = 0;
  let w3: u64 = 0;
  let w4: u64 = 0;
  let w5: u64 = 0;
  let rolling: u64 = 0;
  let wordCount: u32 = 0;
  let repeated: u32 = 0;
  const salt = (epoch += 1) * 0x27d4eb2f;
  for (let block = text; block <= end; block += 64) {
    let words: u64 = 0;
    let rare = i8x16.splat(0);
    for (let part: usize = 0; part < 64; part += 16) {
      const x = v128.load(block + part);
      h1 = rotl<u64>((h1 ^ i64x2.extract_lane(x, 0)) * mix1, 31);
      h2 = rotl<u64>((h2 ^ i64x2.extract_lane(x, 1)) * mix2, 29);
      const small = v128.or(x, i8x16.splat(0x20));
      const letter = i8x16.lt_u(i8x16.sub(small, i8x16.splat(0x61)), i8x16.splat(26));
      const digit = i8x16.lt_u(i8x16.sub(x, i8x16.splat(0x30)), i8x16.splat(10));
      const classes = v128.and(
        i8x16.swizzle(lows, v128.and(x, i8x16.splat(15))),
        i8x16.swizzle(highs, i8x16.shr_u(x, 4)),
      );
      words |= (<u64>i8x16.bitmask(v128.or(letter, digit))) << part;
      const low = v128.or(i8x16.lt_s(x, i8x16.splat(32)), i8x16.eq(x, i8x16.splat(127)));
      rare = v128.or(rare, v128.or(v128.or(digit, classes), low));
    }
    let tokens = words;
    let foreign: u64 = 0;
    // Most blocks of most texts have letters, blanks and full stops alone.
    if (v128.any_true(rare)) {
      let marks: u64 = 0;
      let digits: u64 = 0;
      let control: u64 = 0;
      for (let part: usize = 0; part < 64; part += 16) {
        const x = v128.load(block + part);
        const digit = i8x16.lt_u(i8x16.sub(x, i8x16.splat(0x30)), i8x16.splat(10));
        const classes = v128.and(
          i8x16.swizzle(lows, v128.and(x, i8x16.splat(15))),
          i8x16.swizzle(highs, i8x16.shr_u(x, 4)),
        );
        const marked = i8x16.ne(v128.and(classes, i8x16.splat(judged)), i8x16.splat(0));
        const token = i8x16.ne(v128.and(classes, i8x16.splat(inTokens)), i8x16.splat(0));
        const low = v128.or(i8x16.lt_u(x, i8x16.splat(32)), i8x16.eq(x, i8x16.splat(127)));
        tokens |= (<u64>i8x16.bitmask(token)) << part;
        marks |= (<u64>i8x16.bitmask(marked)) << part;
        digits |= (<u64>i8x16.bitmask(digit)) << part;
        foreign |= (<u64>i8x16.bitmask(x)) << part;
        control |= (<u64>i8x16.bitmask(low)) << part;
      }
      for (; control !== 0; control &= control - 1) {
        const byte = load<u8>(block + <usize>ctz(control));
        if (byte !== 9 && byte !== 10 && byte !== 13) flags |= seenControl;
      }
      for (; digits !== 0; digits &= digits - 1) {
        const digit = block + <usize>ctz(digits);
        digitRun = joinsNumber(lastDigit, digit) ? digitRun + 1 : 1;
        lastDigit = digit;
        if (digitRun >= 7) flags |= seenNumber;
      }
      for (; marks !== 0; marks &= marks - 1) flags |= judge(block + <usize>ctz(marks), text);
    }
    if (tokens !== 0) flags |= seenText;
    // Twenty in a row, inside the block or across its borders.
    if (tokenRun + <u32>ctz(~tokens) >= longToken || hasLongRun(tokens)) flags |= seenKey;
    tokenRun = tokens === u64.MAX_VALUE ? tokenRun + 64 : <u32>clz(~tokens);
    let alone: u64 = 0;
    if (foreign !== 0) {
      flags |= seenForeign;
      for (let rest = foreign; rest !== 0; rest &= rest - 1) {
        const bit = ctz(rest);
        const byte = load<u8>(block + <usize>bit);
        if ((byte & 0xc0) === 0x80) units -= 1;
        else if (byte >= 0xf0) units += 1;
        if (byte < 0xc2) continue;
        // From U+00C0 to U+07FF and from U+4000 to U+CFFF no character is a blank.
        if ((byte >= 0xc3 && byte <= 0xdf) || (byte >= 0xe4 && byte <= 0xec)) flags |= seenText;
        if (byte >= 0xe1 || byte === 0xc2) flags |= judgeForeign(block + <usize>bit);
        if (byte >= 0xe2 && byte <= 0xed && isAlone(block + <usize>bit)) alone |= (<u64>1) << bit;
      }
      words |= foreign;
    }
    if (sketched) {
      // Before these bytes a word ends, though letters go on: those of scripts whose letters are words.
      const breaks = alone | (alone << 3) | lastAlone;
      lastAlone = alone >> 61;
      const before = (words << 1) | lastWord;
      lastWord = words >> 63;
      let starts = words & (~before | breaks);
      for (let ends = (~words | breaks) & before; ends !== 0; ends &= ends - 1) {
        if (start === 0) {
          start = block + <usize>ctz(starts);
          starts &= starts - 1;
        }
        const word = hashWord(start, block + <usize>ctz(ends));
        start = 0;
        rolling = rolling * base + word - w5 * oldest;
        w5 = w4;
        w4 = w3;
        w3 = w2;
        w2 = w1;
        w1 = word;
        wordCount += 1;
        if (wordCount < shingleWords) continue;
        let mixed = (rolling ^ (rolling >> 29)) * mix2;
        mixed ^= mixed >> 32;
        const cell = recentAt + 4 * (<usize>mixed & (recentCells - 1));
        const known = <u32>(mixed >> 10) ^ salt;
        if (load<u32>(cell) === known) repeated += 1;
        store<u32>(cell, known);
        const bin = binsAt + 4 * <usize>(mixed >> 58);
        store<u32>(bin, min(load<u32>(bin), <u32>(mixed >> 20)));
      }
      if (starts !== 0) start = block + <usize>ctz(starts);
    }
  }
  identity = rotl<u64>((h1 ^ rotl<u64>(h2, 17)) * mix1, 31);
  const found = wordCount < shingleWords ? 0 : wordCount - shingleWords + 1;
  rowShingles += found;
  if (answer) {
    if (mayRefuse(text, end)) flags |= seenRefusal;
    const last = size === 0 ? 0 : load<u8>(end - 1);
    if (last === 0x2c || (last >= 0x61 && last <= 0x7a)) flags |= seenOpenEnd;
  }
  store<u32>(at, units, lengthField);
  store<u32>(at, flags, flagsField);
  store<u32>(at, found, shinglesField);
  store<u32>(at, repeated, repeatedField);
  store<u32>(at, answer && size > prefixBytes ? prefixHash(text) : 0, prefixField);
}

function hasLongRun(mask: u64): bool {
  let runs = mask & (mask >> 1);
  runs &= runs >> 2;
  runs &= runs >> 4;
  runs &= runs >> 8;
  return (runs & (runs >> 4)) !== 0;
}

function hashWord(start: usize, end: usize): u64 {
  let left = end - start;
  if (left <= 8) {
    const word = (load<u64>(start) & (u64.MAX_VALUE >> (64 - 8 * <u64>left))) * mix1;
    return word ^ (word >> 32);
  }
  let hash: u64 = 0;
  let at = start;
  for (; left > 8; left -= 8, at += 8) hash = rotl<u64>((hash ^ load<u64>(at)) * mix1, 29);
  hash = (hash ^ (load<u64>(at) & (u64.MAX_VALUE >> (64 - 8 * <u64>left)))) * mix1;
  return hash ^ (hash >> 32);
}

/** Of the first 24 bytes; never 0. */
function prefixHash(text: usize): u32 {
  let hash = (load<u64>(text) ^ mix2) * mix1;
  hash = rotl<u64>((hash ^ load<u64>(text, 8)) * mix1, 29);
  hash = (hash ^ load<u64>(text, 16)) * mix1;
  return <u32>(hash >> 32) | 1;
}
