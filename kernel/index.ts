// What src/dataset/kernel/kernel.ts calls. `node scripts/kernel.ts` builds it.

import { textsAt } from "./memory";
import { blanks } from "./row";
import { begin, rowIdentity, scanText, separate } from "./text";
import { writeSketch } from "./words";

export { begin, rowIdentity, separate, writeSketch };
export { chatEnd, readChat } from "./row";

/** Reads a text that was written to the memory; what is found lies first in the table of texts. */
export function scan(text: usize, size: usize, sketched: bool, answer: bool): void {
  blanks(text + size);
  scanText(text, size, textsAt, sketched, answer);
}
