/** Something that every secret of secretlint's rules has beside its random part. */
export const secretSigns =
  /A3T|A[KGIRNS][IPDOV]A|ASIA|secret|SECRET|Secret|-----BEGIN|oauth|npm_|xox|xapp|hooks\.slack|:\/\/|sk-|gsk_|hf_|lin_api|ntn_|SG\.|shp[pcas]|[sr]k_|gh[pousr]_|github_pat|glpat|glc_|glsa_|eyJ|ops_|hv[sbr]\.|vc[piark]_|dapi|dckr_|figd_|cf[ku]t?|cfat|tskey|authToken/;

/**
 * What may be a secret stands in one piece; names and words of a message are shorter or have no digit.
 * The password in an address has any letters.
 */
const longPiece =
  /:\/\/[^\s/:@"]*:[^\s"'`]+|(?=[^\s"'`\\,;(){}[\]<>]*\d)[^\s"'`\\,;(){}[\]<>]{16,}/g;

/** A row's own words for a message, without what may be a secret. */
export function hideSecrets(text: string): string {
  return secretSigns.test(text) ? hideLongPieces(text) : text;
}

/** Where a text has pieces from `start` to `end` that may be secrets. */
export function longPieces(text: string, start: number, end: number): [number, number][] {
  const found = text.slice(start, end).matchAll(longPiece);
  return Array.from(found, ({ 0: piece, index }) => {
    // The end of a sentence is none of it.
    const size = piece.replace(/[.:!?]+$/, "").length;
    return [start + index, start + index + size];
  });
}

/** The same for a text whose beginning is not there, and may have been the sign: four characters stay of each. */
export function hideLongPieces(text: string): string {
  return text.replace(longPiece, (piece) => `${piece.slice(0, 4)}...`);
}
