// Whether what begins at a byte may be something that a rule looks for. What stands behind a text is
// blank, so that a look over its end finds nothing.

import { seenFence, seenInvisible, seenKey, seenMail, seenSpecial } from "./flags";

/** Who speaks of itself does so in the first 400 characters. */
const earlyBytes: usize = 1200;

/** Whether a digit goes on with the number that the last one is of. */
export function joinsNumber(last: usize, digit: usize): bool {
  const gap = digit - last;
  if (gap === 1) return true;
  if (last === 0 || gap > 3) return false;
  for (let at = last + 1; at < digit; at++) {
    const byte = load<u8>(at);
    const joins = byte === 0x20 || byte === 0x28 || byte === 0x29 || byte === 0x2e || byte === 0x2d;
    if (!joins) return false;
  }
  return true;
}

/** What a byte that the classes mark may be the beginning of. */
export function judge(at: usize, text: usize): u32 {
  const byte = load<u8>(at);
  const next = load<u8>(at + 1);
  const third = load<u8>(at + 2);
  switch (byte) {
    case 0x40: {
      if (at === text || !isWord(next)) return 0;
      const before = load<u8>(at - 1);
      const address = isWord(before) || before === 0x2e || before === 0x2b || before === 0x2d;
      return address ? seenMail : 0;
    }
    case 0x3c: {
      // <| <U+FF5C << <s> </s> and <start_ <end_ <bos> <eos> <pad> <unk> with or without a slash
      if (next === 0x7c || next === 0xef || next === 0x3c) return seenSpecial;
      const slash = next === 0x2f;
      const first = slash ? third : next;
      const second = slash ? load<u8>(at + 3) : third;
      const named =
        (first === 0x73 && (second === 0x3e || second === 0x74)) ||
        (first === 0x65 && (second === 0x6e || second === 0x6f)) ||
        (first === 0x62 && second === 0x6f) ||
        (first === 0x70 && second === 0x61) ||
        (first === 0x75 && second === 0x6e);
      return named ? seenSpecial : 0;
    }
    case 0x5b: {
      // [INST] [AVAILABLE_TOOLS] [TOOL_CALLS] [TOOL_RESULTS] [SYSTEM_PROMPT], with or without a slash
      const slash = next === 0x2f;
      const first = slash ? third : next;
      const second = slash ? load<u8>(at + 3) : third;
      const named =
        (first === 0x49 && second === 0x4e) ||
        (first === 0x41 && second === 0x56) ||
        (first === 0x54 && second === 0x4f) ||
        (first === 0x53 && second === 0x59);
      return named ? seenSpecial : 0;
    }
    case 0x60:
    case 0x7e:
      return next === byte && third === byte ? seenFence : 0;
    case 0x2f:
      return next === 0x2f && at > text && load<u8>(at - 1) === 0x3a ? seenKey : 0;
    default:
      return load<u32>(at) === 0x2d2d2d2d && load<u16>(at + 4) === 0x422d ? seenKey : 0;
  }
}

/** The first byte of a character beyond ASCII: U+0080-9F, U+00AD, and what cannot be seen or turns text. */
export function judgeForeign(at: usize): u32 {
  const byte = load<u8>(at);
  const next = load<u8>(at + 1);
  const third = load<u8>(at + 2);
  let hidden = false;
  if (byte === 0xc2) hidden = next <= 0x9f || next === 0xad;
  else if (byte === 0xe1) hidden = next === 0xa0 && third === 0x8e;
  else if (byte === 0xe2) {
    hidden =
      (next === 0x80 && ((third >= 0x8b && third <= 0x8d) || (third >= 0xaa && third <= 0xae))) ||
      (next === 0x81 && third >= 0xa0 && third <= 0xa9);
  } else if (byte === 0xef) hidden = next === 0xbb && third === 0xbf;
  else if (byte === 0xf3) hidden = next === 0xa0;
  return hidden ? seenInvisible : 0;
}

/** U+2E80 to U+D7FF: each is a word. */
export function isAlone(at: usize): bool {
  return load<u8>(at) !== 0xe2 || load<u8>(at + 1) >= 0xba;
}

/** Whether a text begins as refusals do ("I'm", "I can", "Sorry", "Unfortunately", "As an"), or says "as a(n) A.../L..." early. */
export function mayRefuse(text: usize, end: usize): bool {
  let at = text;
  while (at < end && at < text + 9 && !isWord(load<u8>(at))) at += 1;
  const first = load<u8>(at) | 0x20;
  const second = load<u8>(at + 1) | 0x20;
  const third = load<u8>(at + 2) | 0x20;
  if (first === 0x69 && !(second >= 0x61 && second <= 0x7a)) return true;
  if (first === 0x73 && second === 0x6f && third === 0x72) return true;
  if (first === 0x75 && second === 0x6e && third === 0x66) return true;
  if (first === 0x61 && second === 0x73 && third === 0x20) return true;
  const stop = min(end, text + earlyBytes);
  for (at = text; at < stop; at += 16) {
    const s = i8x16.eq(v128.or(v128.load(at), i8x16.splat(0x20)), i8x16.splat(0x73));
    const blank = i8x16.eq(v128.load(at + 1), i8x16.splat(0x20));
    const a = i8x16.eq(v128.or(v128.load(at + 2), i8x16.splat(0x20)), i8x16.splat(0x61));
    let hits = i8x16.bitmask(v128.and(v128.and(s, blank), a));
    for (; hits !== 0; hits &= hits - 1) {
      const hit = at + <usize>ctz(hits) + 3;
      const letter = (load<u8>(hit) | 0x20) === 0x6e ? hit + 2 : hit + 1;
      const named = load<u8>(letter) | 0x20;
      if (named === 0x61 || named === 0x6c) return true;
    }
  }
  return false;
}

function isWord(byte: u8): bool {
  const small = byte | 0x20;
  return (small >= 0x61 && small <= 0x7a) || (byte >= 0x30 && byte <= 0x39) || byte === 0x5f;
}
