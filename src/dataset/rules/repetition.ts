/** Below so many runs of five words a text may repeat some. */
const fewShingles = 40;

/**
 * Whether an answer says the same again and again: more than half of its runs of five words stood
 * there before (a share of 0.5, as data-juicer has it), or one character a hundred times in a row.
 */
export function isRepetitive(
  answer: string,
  { shingles, repeated }: { readonly shingles: number; readonly repeated: number },
): boolean {
  if (shingles >= fewShingles && repeated > shingles / 2) return true;
  // Only a text of few words can be filled with one character.
  return answer.length >= 200 && shingles * 20 < answer.length && /([^\s=*#_-])\1{99}/.test(answer);
}
