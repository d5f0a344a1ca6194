// Rows that are {"messages": [{"role": ..., "content": ...}, ...]} and nothing else, which most rows
// of most files are, read and unescaped without making anything of them.

import { seenText } from "./flags";
import { maxRow, maxTexts, outputAt, padding, promptAt, textsAt } from "./memory";
import { begin, rowIdentity, scanText, separate } from "./text";

const quote: u8 = 0x22;
const backslash: u8 = 0x5c;

// Roles as identities have them; src/dataset/kernel/kernel.ts has them too.
const system: u32 = 1;
const developer: u32 = 2;
const user: u32 = 3;
const assistant: u32 = 4;

// What is kept of a text besides what the scan finds, as u32.
const textField: usize = 0;
const sizeField: usize = 4;
const flagsField: usize = 12;
const roleField: usize = 28;
const textBytes: usize = 32;

/** In memory, since the compiler would make constants anew for every sixteen bytes. */
const stopsOfText = memory.data<u64>([
  0x2222222222222222, 0x2222222222222222, 0x5c5c5c5c5c5c5c5c, 0x5c5c5c5c5c5c5c5c,
  0x1f1f1f1f1f1f1f1f, 0x1f1f1f1f1f1f1f1f,
]);

/** Where the JSON text that was read last ends, and its characters. */
let read: usize = 0;
let written: usize = 0;
/** A line feed is a blank; else it ends the row. */
let overLines: bool = false;
let rowLimit: usize = 0;
let rowEnd: usize = 0;

/** Where the row that readChat read ends. */
export function chatEnd(): usize {
  return rowEnd;
}

/**
 * Reads the row that begins at `from`, and what each of its texts says.
 *
 * @param lines it may go over several lines
 * @returns how many texts it has; -1 for any other row, sound or not
 */
export function readChat(from: usize, lines: bool): i32 {
  overLines = lines;
  rowLimit = from + maxRow;
  let at = skip(from);
  if (load<u8>(at) !== 0x7b) return -1;
  at = skip(at + 1);
  if (load<u64>(at) !== 0x6567617373656d22 || load<u16>(at + 8) !== 0x2273) return -1; // "messages"
  at = colon(at + 10);
  if (at === 0 || load<u8>(at) !== 0x5b) return -1;
  at = skip(at + 1);
  begin();
  let count: u32 = 0;
  let output = outputAt;
  let answered = false;
  while (true) {
    if (load<u8>(at) !== 0x7b || count === maxTexts) return -1;
    at = skip(at + 1);
    let role: u32 = 0;
    let text: usize = 0;
    let size: usize = 0;
    while (true) {
      if (load<u8>(at) !== quote) return -1;
      if (load<u32>(at + 1) === 0x656c6f72 && load<u8>(at + 5) === quote && role === 0) {
        at = colon(at + 6);
        if (at === 0) return -1;
        role = roleAt(at);
        if (role === 0) return -1;
        at = read;
      } else if (load<u64>(at + 1) === 0x22746e65746e6f63 && text === 0) {
        at = colon(at + 9);
        if (at === 0 || load<u8>(at) !== quote || !unescape(at + 1, output)) return -1;
        at = read;
        text = output;
        size = written - output;
        output = blanks(written);
      } else return -1;
      at = skip(at);
      if (load<u8>(at) !== 0x2c) break;
      at = skip(at + 1);
    }
    if (load<u8>(at) !== 0x7d || role === 0 || text === 0) return -1;
    at = skip(at + 1);
    const place = textsAt + textBytes * <usize>count;
    const answer = role === assistant;
    store<f64>(promptAt, rowIdentity());
    separate(role);
    scanText(text, size, place, answer || role === user, answer);
    if (answer) {
      if ((load<u32>(place, flagsField) & seenText) === 0) return -1;
      answered = true;
    }
    store<u32>(place, <u32>text, textField);
    store<u32>(place, <u32>size, sizeField);
    store<u32>(place, role, roleField);
    count += 1;
    const byte = load<u8>(at);
    at = skip(at + 1);
    if (byte === 0x5d) break;
    if (byte !== 0x2c) return -1;
  }
  if (load<u8>(at) !== 0x7d || !answered) return -1;
  rowEnd = skip(at + 1);
  return <i32>count;
}

function skip(from: usize): usize {
  let at = from;
  while (true) {
    const byte = load<u8>(at);
    if (byte !== 0x20 && byte !== 0x09 && byte !== 0x0d && !(byte === 0x0a && overLines)) return at;
    at += 1;
  }
}

/** Where the value behind a colon begins, 0 if there is none. */
function colon(from: usize): usize {
  const at = skip(from);
  return load<u8>(at) === 0x3a ? skip(at + 1) : 0;
}

function roleAt(at: usize): u32 {
  if (load<u8>(at) !== quote) return 0;
  const first = load<u64>(at + 1);
  if (<u32>first === 0x72657375 && load<u8>(at + 5) === quote) {
    read = at + 6;
    return user;
  }
  if (first === 0x6e61747369737361 && load<u16>(at + 9) === 0x2274) {
    read = at + 11;
    return assistant;
  }
  if (<u32>first === 0x74737973 && load<u16>(at + 5) === 0x6d65 && load<u8>(at + 7) === quote) {
    read = at + 8;
    return system;
  }
  if (first === 0x65706f6c65766564 && load<u16>(at + 9) === 0x2272) {
    read = at + 11;
    return developer;
  }
  return 0;
}

/** Puts blanks behind a text; returns where the next may begin. */
export function blanks(from: usize): usize {
  for (let at = from; at < from + padding; at += 16) v128.store(at, i8x16.splat(0x20));
  return (from + padding + 15) & ~15;
}

/** Writes the characters of a JSON text, from behind its opening quote; false if it is no such text. */
function unescape(from: usize, to: usize): bool {
  const quotes = v128.load(stopsOfText);
  const backslashes = v128.load(stopsOfText, 16);
  const controls = v128.load(stopsOfText, 32);
  const limit = rowLimit;
  let at = from;
  let out = to;
  while (true) {
    const x = v128.load(at);
    v128.store(out, x);
    const ends = v128.or(i8x16.eq(x, quotes), i8x16.eq(x, backslashes));
    const stops = i8x16.bitmask(v128.or(ends, i8x16.eq(i8x16.min_u(x, controls), x)));
    if (at > limit) return false;
    if (stops === 0) {
      at += 16;
      out += 16;
      continue;
    }
    const plain = <usize>ctz(stops);
    at += plain;
    out += plain;
    const byte = load<u8>(at);
    if (byte === quote) {
      read = at + 1;
      written = out;
      return true;
    }
    if (byte !== backslash) return false;
    const escape = load<u8>(at + 1);
    at += 2;
    if (escape === 0x75) {
      let code = hex(at);
      if (code < 0) return false;
      at += 4;
      if (code >= 0xd800 && code <= 0xdfff) {
        if (code > 0xdbff || load<u16>(at) !== 0x755c) return false;
        const second = hex(at + 2);
        if (second < 0xdc00 || second > 0xdfff) return false;
        at += 6;
        code = 0x10000 + ((code - 0xd800) << 10) + (second - 0xdc00);
      }
      out = encode(code, out);
      continue;
    }
    const character = escaped(escape);
    if (character === 0) return false;
    store<u8>(out, character);
    out += 1;
  }
}

function escaped(byte: u8): u8 {
  switch (byte) {
    case 0x22:
    case 0x5c:
    case 0x2f:
      return byte;
    case 0x6e:
      return 0x0a;
    case 0x74:
      return 0x09;
    case 0x72:
      return 0x0d;
    case 0x62:
      return 0x08;
    case 0x66:
      return 0x0c;
    default:
      return 0;
  }
}

/** Four hexadecimal digits as a number, below 0 if they are none. */
function hex(at: usize): i32 {
  let code: i32 = 0;
  for (let end = at + 4; at < end; at++) {
    const byte = load<u8>(at);
    const small = byte | 0x20;
    if (byte >= 0x30 && byte <= 0x39) code = (code << 4) | (<i32>byte - 0x30);
    else if (small >= 0x61 && small <= 0x66) code = (code << 4) | (<i32>small - 0x57);
    else return -1;
  }
  return code;
}

/** Writes a character as UTF-8; returns where it ends. */
function encode(code: i32, out: usize): usize {
  if (code < 0x80) {
    store<u8>(out, <u8>code);
    return out + 1;
  }
  if (code < 0x800) {
    store<u8>(out, <u8>(0xc0 | (code >> 6)));
    store<u8>(out + 1, <u8>(0x80 | (code & 0x3f)));
    return out + 2;
  }
  if (code < 0x10000) {
    store<u8>(out, <u8>(0xe0 | (code >> 12)));
    store<u8>(out + 1, <u8>(0x80 | ((code >> 6) & 0x3f)));
    store<u8>(out + 2, <u8>(0x80 | (code & 0x3f)));
    return out + 3;
  }
  store<u8>(out, <u8>(0xf0 | (code >> 18)));
  store<u8>(out + 1, <u8>(0x80 | ((code >> 12) & 0x3f)));
  store<u8>(out + 2, <u8>(0x80 | ((code >> 6) & 0x3f)));
  store<u8>(out + 3, <u8>(0x80 | (code & 0x3f)));
  return out + 4;
}
