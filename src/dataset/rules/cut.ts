/** Prose begins to be prose at about two sentences. */
const shortest = 120;

/**
 * Whether an answer of several sentences ends inside one: on a word in lower case or a comma, in a
 * line that is prose. Lists, headings, code, tables, links and short answers end as they like.
 */
export function endsInSentence(answer: string): boolean {
  if (answer.length < shortest) return false;
  const last = answer.charCodeAt(answer.length - 1);
  const lower = last >= 97 && last <= 122;
  if (!lower && last !== 44) return false;
  const line = answer
    .slice(Math.max(0, answer.length - 400))
    .split("\n")
    .at(-1)!;
  if (/^\s*(?:[-*+>#|\d]|```|~~~|\w+:$|\t| {4})/.test(line) || /[{}<>=|`\\;]|:\/\//.test(line)) {
    return false;
  }
  // The line itself must be prose, and sentences must have ended before it ended.
  const words = line.trim().split(/\s+/);
  return words.length >= 4 && /[a-z][.!?]["')]?\s/.test(answer);
}
