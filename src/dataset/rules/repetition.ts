import type { Scanned } from "../kernel/kernel.ts";

/** Below so many runs of five words a text may repeat some. */
const fewShingles = 40;

/**
 * Whether an answer says the same again and again: more than half of its runs of five words stood
 * there before (a share of 0.5, as data-juicer has it), or one character a hundred times in a row.
 */
export function isRepetitive(answer: string, scanned: Scanned): boolean {
  return saysAgain(scanned) || (isFilled(scanned) && /([^\s=*#_-])\1{99}/.test(answer));
}

/** Whether it is worth a look. */
export function mayRepeat(scanned: Scanned): boolean {
  return saysAgain(scanned) || isFilled(scanned);
}

function saysAgain({ shingles, repeated }: Scanned): boolean {
  return shingles >= fewShingles && repeated > shingles / 2;
}

/** Only a text of few words can be filled with one character. */
function isFilled({ length, shingles }: Scanned): boolean {
  return length >= 200 && shingles * 20 < length;
}
