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
import { boundsAt } from "./memory";
import {
  beginSketch,
  beginWords,
  countWords,
  noteBounds,
  noteBreaks,
  mix1,
  repeated,
  shingles,
} from "./words";

// What is kept of a text, as u32, in bytes from its place in the table.
const lengthField: usize = 8;
const flagsField: usize = 12;
const shinglesField: usize = 16;
const repeatedField: usize = 20;
const prefixField: usize = 24;

const longToken: u32 = 20;
/** Of a text, whose words are found first and counted then. */
const segmentBytes: usize = 2048;
const prefixBytes: usize = 24;

const mix2: u64 = 0xc2b2ae3d27d4eb4f;

// A byte is of a class where the entries of its two halves share a bit:
// 1 "@", 2 "<", 4 "[", 8 "`", 16 "~", 32 "-" and "/", 64 "+", 128 "_".
const classLows = i8x16(9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 68, 2, 32, 16, -96);
const classHighs = i8x16(0, 0, 96, 2, 1, -124, 8, 16, 0, 0, 0, 0, 0, 0, 0, 0);
const judged: i8 = 0x3f;
const inTokens: i8 = -32;

// In memory, since the compiler would make constants anew for every sixteen bytes. Bit n of an entry
// stands for the character of that lower half and the upper half n: those of words; the rare ones,
// which are digits, what the classes mark and control characters but for blanks. What is beyond ASCII
// has all bits and is both.
const tables = memory.data<u64>([
  0xf8f8f8f8f8f8f8a8, 0x5050505050f0f8f8, 0x0b0b0b0b0b0b0b5b, 0xa783060b27020a0b,
  0x8040201008040201, 0xffffffffffffffff, 0x0f0f0f0f0f0f0f0f, 0x0f0f0f0f0f0f0f0f,
]);

let identity: u64 = 0;

export function begin(): void {
  identity = 0x811c9dc5;
  beginSketch();
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
 * Reads a text, behind which blanks stand, and writes to a place in the table of texts what it found.
 *
 * @param sketched it counts for what the row is like
 * @param answer it is what the model learns to say
 */
export function scanText(text: usize, size: usize, at: usize, sketched: bool, answer: bool): void {
  const wordLows = v128.load(tables);
  const rareLows = v128.load(tables, 16);
  const highs = v128.load(tables, 32);
  const half = v128.load(tables, 48);
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
  let bounds = boundsAt;
  beginWords();
  for (let segment = text; segment <= end; segment += segmentBytes) {
    const stop = min(segment + segmentBytes, end + 1);
    for (let block = segment; block < stop; block += 64) {
      let gaps: u64 = 0;
      let rare = i64x2.splat(0);
      for (let part: usize = 0; part < 64; part += 16) {
        const x = v128.load(block + part);
        h1 = rotl<u64>((h1 ^ i64x2.extract_lane(x, 0)) * mix1, 31);
        h2 = rotl<u64>((h2 ^ i64x2.extract_lane(x, 1)) * mix2, 29);
        const low = v128.and(x, half);
        const high = i8x16.relaxed_swizzle(highs, v128.and(i16x8.shr_u(x, 4), half));
        const word = v128.and(i8x16.relaxed_swizzle(wordLows, low), high);
        gaps |= (<u64>(<u32>i8x16.bitmask(i8x16.eq(word, i64x2.splat(0))))) << part;
        rare = v128.or(rare, v128.and(i8x16.relaxed_swizzle(rareLows, low), high));
      }
      const words = ~gaps;
      let tokens = words;
      let alone: u64 = 0;
      // Most blocks of most texts have letters, blanks and full stops alone.
      if (v128.any_true(rare)) {
        let marks: u64 = 0;
        let digits: u64 = 0;
        let control: u64 = 0;
        let foreign: u64 = 0;
        for (let part: usize = 0; part < 64; part += 16) {
          const x = v128.load(block + part);
          const digit = i8x16.lt_u(i8x16.sub(x, i8x16.splat(0x30)), i8x16.splat(10));
          const classes = v128.and(
            i8x16.relaxed_swizzle(classLows, v128.and(x, i8x16.splat(15))),
            i8x16.relaxed_swizzle(classHighs, i8x16.shr_u(x, 4)),
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
        tokens &= ~foreign;
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
        if (foreign !== 0) flags |= seenForeign;
        for (; foreign !== 0; foreign &= foreign - 1) {
          const bit = ctz(foreign);
          const byte = load<u8>(block + <usize>bit);
          if ((byte & 0xc0) === 0x80) units -= 1;
          else if (byte >= 0xf0) units += 1;
          if (byte < 0xc2) continue;
          // From U+00C0 to U+07FF and from U+4000 to U+CFFF no character is a blank.
          if ((byte >= 0xc3 && byte <= 0xdf) || (byte >= 0xe4 && byte <= 0xec)) flags |= seenText;
          if (byte >= 0xe1 || byte === 0xc2) flags |= judgeForeign(block + <usize>bit);
          if (byte >= 0xe2 && byte <= 0xed && isAlone(block + <usize>bit)) alone |= (<u64>1) << bit;
        }
      }
      if (tokens !== 0) flags |= seenText;
      // Twenty in a row, inside the block or across its borders.
      if (tokenRun + <u32>ctz(~tokens) >= longToken || hasLongRun(tokens)) flags |= seenKey;
      tokenRun = tokens === u64.MAX_VALUE ? tokenRun + 64 : <u32>clz(~tokens);
      if (!sketched) continue;
      const before = (words << 1) | lastWord;
      lastWord = words >> 63;
      // Before these bytes a word ends, though letters go on: those of scripts whose letters are words.
      const breaks = alone | (alone << 3) | lastAlone;
      lastAlone = alone >> 61;
      bounds =
        breaks === 0
          ? noteBounds(words ^ before, block, bounds)
          : noteBreaks(words, before, breaks, block, bounds);
    }
    if (!sketched) continue;
    bounds = countWords(bounds, answer);
  }
  identity = rotl<u64>((h1 ^ rotl<u64>(h2, 17)) * mix1, 31);
  if (answer) {
    if (mayRefuse(text, end)) flags |= seenRefusal;
    const last = size === 0 ? 0 : load<u8>(end - 1);
    if (last === 0x2c || (last >= 0x61 && last <= 0x7a)) flags |= seenOpenEnd;
  }
  store<u32>(at, units, lengthField);
  store<u32>(at, flags, flagsField);
  store<u32>(at, shingles, shinglesField);
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

/** Of the first 24 bytes; never 0. */
function prefixHash(text: usize): u32 {
  let hash = (load<u64>(text) ^ mix2) * mix1;
  hash = rotl<u64>((hash ^ load<u64>(text, 8)) * mix1, 29);
  hash = (hash ^ load<u64>(text, 16)) * mix1;
  return <u32>(hash >> 32) | 1;
}
