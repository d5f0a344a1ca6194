import { longPieces } from "../dataset/hide-secrets.ts";
import { locateSecrets } from "../dataset/rules/secrets.ts";
import type { SecretPlace } from "../dataset/rules/secrets.ts";
import type { Segment } from "./segments.ts";

export interface Masked {
  /** With the kind of each secret in its place; tokens are counted as they are. */
  readonly segments: readonly Segment[];
  /** Kinds of the secrets that were hidden. */
  readonly secrets: readonly string[];
}

/** Hides the secrets of a sequence, also where one goes on from one part into the next. */
export function maskSecrets(segments: readonly Segment[]): Masked {
  const whole = segments.map(({ text }) => text).join("");
  const hidden = placesOf(whole);
  if (hidden.length === 0) return { segments, secrets: [] };
  let from = 0;
  const masked = segments.map((segment) => {
    const to = from + segment.text.length;
    let text = "";
    let at = from;
    for (const { start, end, kind } of hidden) {
      if (end <= from || start >= to) continue;
      text += whole.slice(at, Math.max(at, start));
      if (start >= from) text += `[a secret: ${kind}]`;
      at = Math.min(end, to);
    }
    text += whole.slice(at, to);
    from = to;
    return { ...segment, text };
  });
  return { segments: masked, secrets: [...new Set(hidden.map(({ kind }) => kind))] };
}

/**
 * Where secrets stand, in order and apart from each other. Some rules tell where the name of a key
 * begins, not its value: what looks like one is hidden too, up to the end of the line.
 */
function placesOf(text: string): SecretPlace[] {
  const all = locateSecrets(text).flatMap(({ kind, start, end }) => {
    const lineEnd = text.indexOf("\n", end);
    const more = longPieces(text, start, lineEnd === -1 ? text.length : lineEnd);
    return [[start, end] as const, ...more].map(([from, to]) => ({ kind, start: from, end: to }));
  });
  const apart: SecretPlace[] = [];
  for (const place of all.sort((a, b) => a.start - b.start)) {
    const last = apart.at(-1);
    if (last === undefined || place.start >= last.end) apart.push(place);
    else apart[apart.length - 1] = { ...last, end: Math.max(last.end, place.end) };
  }
  return apart;
}
