export type Severity = "error" | "warning" | "info";
export type Level = Severity | "off";

interface Rule {
  readonly severity: Severity;
  /** What is the matter, after the number of rows: "3 rows: no answer". */
  readonly cause: string;
  readonly remedy: string;
  /** "row": of rows, each counted; "file": of the file or the dataset as a whole. */
  readonly of: "row" | "file";
}

const row = (severity: Severity, cause: string, remedy: string): Rule => ({
  severity,
  cause,
  remedy,
  of: "row",
});
const file = (severity: Severity, cause: string, remedy: string): Rule => ({
  severity,
  cause,
  remedy,
  of: "file",
});

/** Every rule, by its code: the one place that says what a finding means and what mends it. */
export const rules = {
  // The file.
  unreadable: file(
    "error",
    "the file cannot be read to its end",
    "mend it there, or write it again",
  ),
  "byte-order-mark": file(
    "warning",
    "begins with a byte order mark: skipped",
    "save it as UTF-8 without one",
  ),
  "name-mismatch": file(
    "warning",
    "the name promises another format",
    "rename it; Moxi reads what it holds",
  ),
  unwrapped: file(
    "info",
    "the rows stand in an object",
    "nothing to do: they were taken out of it",
  ),
  "not-read": file(
    "info",
    "something in the folder is no dataset",
    "nothing to do: it was skipped",
  ),
  "outside-link": file(
    "warning",
    "a link leads out of the folder",
    "name its target as the dataset, or copy it",
  ),
  "mixed-files": file(
    "error",
    "the files of the folder have rows of several forms",
    "keep one form in a folder",
  ),
  "too-few-rows": file(
    "warning",
    "a model learns little from so few rows",
    "collect at least 50, better some hundreds",
  ),
  "constant-prefix": file(
    "warning",
    "most answers begin with the same words",
    "cut them off: the model would spend its learning on them",
  ),
  ungrouped: file(
    "warning",
    "some rows have no value to group them by and are split by content",
    "give each row its group",
  ),
  "limited-search": file(
    "info",
    "duplicates were looked for in the first rows only",
    "nothing to do: the rest is too much for the memory",
  ),
  // The row as it is written.
  syntax: row(
    "error",
    "no JSON, or no row of the table",
    "mend it, or write the file with a library",
  ),
  "not-a-number": row(
    "error",
    "NaN or Infinity, which JSON does not have",
    "write null, or leave the field out",
  ),
  encoding: row(
    "error",
    "not UTF-8",
    "save it as UTF-8, e.g. with iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW-FILE",
  ),
  "nul-byte": row("error", "a NUL byte", "save it as UTF-8: this is UTF-16, or no text at all"),
  "too-deep": row(
    "error",
    "nested more than 1,000 deep, or a million values in a row",
    "leave it out",
  ),
  "duplicate-key": row(
    "error",
    "a field stands there twice: only the last is read",
    "keep one of them",
  ),
  "ragged-row": row(
    "error",
    "more or fewer cells than the first line names",
    "quote cells that hold the delimiter",
  ),
  // Its form.
  "not-an-object": row(
    "error",
    "a row must be an object",
    'write {"prompt": ..., "completion": ...}',
  ),
  "unknown-form": row(
    "error",
    "none of the fields that a row is known by",
    "name your fields with --columns-prompt and --columns-completion",
  ),
  "mixed-forms": row(
    "error",
    "another form than most rows of the file",
    "keep one form of row in a file",
  ),
  "preference-pair": file(
    "info",
    "preference pairs: checked, but train cannot learn from them",
    "convert them to the better answers: moxi data convert",
  ),
  "missing-field": row("error", "a field is missing or null", "fill it in, or take the row out"),
  "wrong-type": row("error", "a field holds another type than it should", "make it text"),
  "wrong-value": row("error", "a field holds a value that it cannot have", "see the place"),
  "empty-prompt": row("error", "the prompt is empty or blank", "fill it in, or take the row out"),
  "missing-answer": row(
    "error",
    "no answer: it is missing or null",
    "fill it in, or take the row out",
  ),
  "empty-answer": row("error", "the answer is empty or blank", "fill it in, or take the row out"),
  "answer-not-text": row("error", "the answer is not text", "write it as text"),
  "conflicting-fields": row(
    "error",
    "two fields for one thing, and they differ",
    "keep one of them",
  ),
  "no-assistant": row(
    "error",
    "no turn of the assistant to learn from",
    "add the answer, or take the row out",
  ),
  "last-turn": row(
    "warning",
    "the last turn is not the assistant's: nothing is learned from it",
    "end with the answer",
  ),
  "unknown-role": row(
    "error",
    "a role that chats do not have",
    "use system, developer, user, assistant or tool",
  ),
  "unknown-key": row(
    "warning",
    "a field of a message that is not read",
    "see whether its name is misspelt",
  ),
  "tool-call": row("error", "a tool call or its result does not fit", "see the place"),
  unsupported: row("error", "something that cannot be trained on", "see the place"),
  "inexact-number": row("error", "a number that cannot be written exactly", "write it as text"),
  // What it says.
  secret: row(
    "error",
    "a secret, such as a key or a password",
    "take it out and revoke it: models repeat what they learn",
  ),
  "personal-data": row(
    "warning",
    "personal data, such as an e-mail address or a phone number",
    "take it out, or replace it",
  ),
  "special-token": row(
    "warning",
    "a special token typed as text",
    "take it out: models end or switch speakers there",
  ),
  "zero-width": row("warning", "characters that cannot be seen", "take them out"),
  bidirectional: row(
    "warning",
    "characters that turn the direction of text around",
    "take them out: what people read is not what models learn",
  ),
  "control-character": row("warning", "control characters", "take them out"),
  "half-character": row(
    "warning",
    "half an emoji or the like: U+FFFD takes its place",
    "write it whole",
  ),
  refusal: row(
    "warning",
    "the answer refuses, or speaks of being an AI",
    "take it out, unless refusing is what you teach",
  ),
  repetition: row("warning", "the answer repeats itself", "take it out, or cut it"),
  "open-fence": row("warning", "a code fence is opened and not closed", "close it: ```"),
  "cut-sentence": row(
    "warning",
    "the answer ends inside a sentence",
    "complete it: models learn to stop there",
  ),
  // What rows say together.
  duplicate: row(
    "warning",
    "the same as an earlier row",
    "keep one: the others are only learned harder",
  ),
  "near-duplicate": row(
    "warning",
    "almost the same as an earlier row (similarity 0.85 or more)",
    "keep one of them",
  ),
  "conflicting-answers": row(
    "warning",
    "the same prompt as an earlier row, with another answer",
    "decide for one answer",
  ),
  leak: row(
    "error",
    "the same as a row that is trained on",
    "take it out of one side: its score says nothing",
  ),
  "near-leak": row(
    "warning",
    "almost the same as a row on the other side of the split",
    "keep both on one side, e.g. with split.groupBy",
  ),
  // What the base model's tokenizer and chat template make of it; looked for with --model.
  "template-refused": row(
    "error",
    "the model's chat template refuses the row",
    "change the row, or choose a model whose template takes such conversations",
  ),
  "template-drops": row(
    "error",
    "the model's chat template leaves a part of the row out",
    "take that part out of the rows, or choose a model whose template shows it",
  ),
  "nothing-to-learn": row(
    "error",
    "no token is learned",
    "see that an answer has text and no weight 0",
  ),
  "answer-cut-off": row(
    "warning",
    "the whole answer lies behind the limit: nothing of it is learned",
    "raise maxSeqLength, or shorten the prompt",
  ),
  "answer-cut": row(
    "warning",
    "the answer is cut at the limit: the model learns to stop there",
    "raise maxSeqLength, or set overlong to drop",
  ),
  "too-long": row(
    "warning",
    "longer than the limit, and left out",
    "raise maxSeqLength, or shorten the row",
  ),
  "no-end-token": row(
    "warning",
    "an answer ends without a token to stop at",
    "choose a model whose template ends its answers",
  ),
  "doubled-start": row(
    "warning",
    "the token that starts a text stands there twice",
    "take it out of the text: the tokenizer or the template writes it",
  ),
} as const satisfies Record<string, Rule>;

export type RuleCode = keyof typeof rules;
export const ruleCodes = Object.keys(rules) as RuleCode[];

/** Severities as the user wants them: by rule, and warnings as errors. */
export interface LevelSettings {
  readonly levels?: Readonly<Partial<Record<string, Level>>> | undefined;
  readonly strict?: boolean | undefined;
}

/** What each rule's findings are, after the user's wishes. */
export function levelsOf({ levels = {}, strict = false }: LevelSettings): Record<RuleCode, Level> {
  const level = (code: RuleCode): Level => {
    const wanted = levels[code] ?? rules[code].severity;
    return strict && wanted === "warning" ? "error" : wanted;
  };
  return Object.fromEntries(ruleCodes.map((code) => [code, level(code)])) as Record<
    RuleCode,
    Level
  >;
}
