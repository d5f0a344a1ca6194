import { seen } from "../kernel/kernel.ts";
import type { Scanned } from "../kernel/kernel.ts";
import type { RuleCode } from "./catalog.ts";
import { endsInSentence } from "./cut.ts";
import { hasOpenFence } from "./fence.ts";
import { findControl, findInvisible } from "./invisible.ts";
import { findPersonal } from "./personal.ts";
import { isRefusal } from "./refusal.ts";
import { isRepetitive, mayRepeat } from "./repetition.ts";
import { findSecrets } from "./secrets.ts";
import { findSpecialToken } from "./special-tokens.ts";

const ofAnswers = seen.refusal | seen.fence | seen.openEnd;
const ofAll = seen.control | seen.mail | seen.number | seen.special | seen.key | seen.invisible;

/** Whether a rule has to look closer at a text; most texts need no look, and are not even made. */
export function needsLook(scanned: Scanned, answer: boolean): boolean {
  const { flags } = scanned;
  return (flags & ofAll) !== 0 || (answer && ((flags & ofAnswers) !== 0 || mayRepeat(scanned)));
}

type Found = (code: RuleCode, detail?: string) => void;

/** What a text says that it should not. @param answer the model learns to say it */
export function findInText(text: string, scanned: Scanned, answer: boolean, found: Found): void {
  const { flags } = scanned;
  const has = (bit: number) => (flags & bit) !== 0;
  if (has(seen.invisible)) {
    for (const [code, detail] of findInvisible(text)) found(code, detail);
  }
  if (has(seen.control)) found("control-character", findControl(text));
  if (has(seen.special)) {
    const special = findSpecialToken(text);
    if (special !== undefined) found("special-token", JSON.stringify(special));
  }
  if (has(seen.mail | seen.number)) {
    const personal = findPersonal(text, { mail: has(seen.mail), number: has(seen.number) });
    if (personal.length > 0) found("personal-data", personal.join(", "));
  }
  if (has(seen.key)) {
    const secrets = findSecrets(text);
    if (secrets.length > 0) found("secret", `of the kind ${secrets.join(", ")}`);
  }
  if (!answer) return;
  if (has(seen.refusal) && isRefusal(text)) found("refusal");
  if (isRepetitive(text, scanned)) found("repetition");
  if (has(seen.fence) && hasOpenFence(text)) found("open-fence");
  if (has(seen.openEnd) && endsInSentence(text)) found("cut-sentence");
}
