/** Whether a code fence (three or more of ` or ~ at the start of a line) is never closed. */
export function hasOpenFence(text: string): boolean {
  let open: { mark: string; length: number } | undefined;
  for (const [, run, rest] of text.matchAll(
    /^ {0,3}(?:(?:[-*>]|\d+\.) +)*(`{3,}|~{3,})([^\n]*)$/gm,
  )) {
    const mark = run![0]!;
    if (open === undefined) {
      // In a fence's first line a backtick would make it inline code.
      if (mark === "~" || !rest!.includes("`")) open = { mark, length: run!.length };
    } else if (mark === open.mark && run!.length >= open.length && rest!.trim() === "") {
      open = undefined;
    }
  }
  return open !== undefined;
}
