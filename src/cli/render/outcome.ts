import { isAbsolute } from "node:path";
import { formatBytes, formatCount, formatDuration, printable } from "../../base/format.ts";
import type { GenerationEvent } from "../../run/event.ts";
import type { View } from "../../run/fold.ts";
import { toyModel } from "../../run/recipe.ts";
import type { Style } from "../terminal.ts";
import { curve } from "./live.ts";
import { labelled, wrap } from "./text.ts";
import {
  asTyped,
  attemptSeconds,
  command,
  costText,
  lossText,
  pathText,
  shortName,
  statusText,
} from "./words.ts";

export interface OutcomeOptions {
  readonly columns: number;
  readonly style: Style;
  readonly cwd: string;
  /** The newest lines that the trainer printed, to tell why it failed. */
  readonly logs?: readonly string[];
}

/** Blocks of lines with an empty line between two of them; empty blocks vanish. */
export function blocks(...parts: readonly (readonly string[])[]): string[] {
  return parts
    .filter((part) => part.length > 0)
    .flatMap((part, index) => (index === 0 ? part : ["", ...part]));
}

/** How a run ended: the outcome, what it learned, where the model is and what to type next. */
export function outcomeLines(view: View, options: OutcomeOptions): string[] {
  const { columns, style } = options;
  return blocks(
    curve(view, { columns, rows: 6, style }),
    [
      headline(view, style),
      ...heldOutLines(view, style),
      ...stageLines(view, options),
      ...costLines(view, style),
    ],
    failureLines(view, options),
    sampleLines(view, options),
    artifactLines(view, options),
    nextLines(view, options),
  );
}

function headline(view: View, style: Style): string {
  const attempt = view.attempts.length > 1 ? ` (attempt ${view.attempts.length})` : "";
  const after = formatDuration(attemptSeconds(view, 0)) + attempt;
  const status = statusText(view.status, style);
  const { progress, checkpoint } = view;
  if (view.status === "succeeded") return `${status} in ${after}`;
  const at =
    progress === null
      ? ""
      : ` at step ${formatCount(progress.step)} of ${formatCount(progress.steps)}`;
  const kept =
    checkpoint === null
      ? "; no checkpoint was kept"
      : `; the checkpoint at step ${formatCount(checkpoint.step)} is kept`;
  return `${status} after ${after}${at}${kept}`;
}

/** "stages  preparing the machine 2m 10s · downloading 50s · training 16m 02s". */
function stageLines({ stages }: View, { columns, style }: OutcomeOptions): string[] {
  const texts = stages.flatMap(({ text, startedAt, endedAt }) => {
    const seconds = endedAt === null ? 0 : (Date.parse(endedAt) - Date.parse(startedAt)) / 1000;
    return seconds < 1 ? [] : [`${printable(text)} ${formatDuration(seconds)}`];
  });
  return texts.length === 0 ? [] : labelled("  ", texts.join(" · "), columns, style.dim);
}

/** "cost $0.42: 16m 38s at $1.515 an hour (AWS's price list, 2026-11-28)". */
function costLines({ cost }: View, style: Style): string[] {
  if (cost === null) return [];
  const { seconds, perHour, source, date } = cost;
  if (seconds === 0) return ["  cost nothing: no second was billed"];
  const why = `(${source}, ${date})`;
  return [
    `  cost ${costText(cost)}: ${formatDuration(seconds)} at $${perHour} an hour ${style.dim(why)}`,
  ];
}

/** "held-out loss  6.914 -> 4.019, 0.58 times what it was". */
export function heldOutLines(view: View, style: Style): string[] {
  const { first, last, best } = view.heldOutLoss;
  if (first === null || last === null || view.evals.length < 2) return [];
  const times = style.bold(`× ${(last / first).toFixed(2)}`);
  const low = view.evals.find((item) => item.step > 0 && item.loss === best);
  const kept = view.keptStep !== null && view.keptStep === low?.step ? ", which is kept" : "";
  const lowest =
    best !== null && best < last && low !== undefined
      ? `, lowest ${lossText(best)} at step ${formatCount(low.step)}${kept}`
      : "";
  return [
    `  held-out loss ${lossText(first)} → ${lossText(last)}, ${times}${lowest} ` +
      style.dim(`(${formatCount(view.rows.eval)} rows never trained on)`),
  ];
}

export function failureLines(view: View, { columns, style, logs = [] }: OutcomeOptions): string[] {
  if (view.status === "interrupted") {
    // A provider that has done nothing with it knows why.
    const why =
      view.detail !== null && view.stages.length === 0
        ? `It did not run: ${printable(view.detail)}.`
        : "It ended without a word: the process was killed, or the machine went down.";
    return labelled("", why, columns);
  }
  if (view.status !== "failed") return [];
  const reason = view.error === null ? [] : labelled("error  ", printable(view.error), columns);
  const change =
    view.failure === null
      ? []
      : labelled("change ", printable(asTyped(view.failure.hint)), columns);
  const printed = logs
    .slice(-12)
    .flatMap((line) => wrap(printable(line.slice(0, 1000)), columns - 9));
  return blocks(
    reason.map((line, index) => (index === 0 ? style.red(line.slice(0, 5)) + line.slice(5) : line)),
    printed.map((line) => style.dim(`       │ ${line}`)),
    change.map((line, index) =>
      index === 0 ? style.bold(line.slice(0, 6)) + line.slice(6) : line,
    ),
  );
}

/** The same prompt, answered before training and now; nothing where only one of the two is known. */
export function sampleLines(
  view: View,
  { columns, style }: { readonly columns: number; readonly style: Style },
): string[] {
  const before = view.generations.find((item) => item.step === 0);
  const after = view.generations.findLast((item) => item.index === before?.index);
  if (before === undefined || after === undefined || after.step === 0) return [];
  const block = (label: string, text: GenerationEvent["text"], most: number) =>
    excerpt(text, Math.min(columns, 100) - 10, most).map((line, index) =>
      `${style.bold((index === 0 ? label : "").padEnd(7))} ${style.dim("│")} ${line}`.trimEnd(),
    );
  const gap = style.dim("        │");
  return [
    style.dim("one prompt, answered before and after training:"),
    "",
    ...block("prompt", before.prompt, 5),
    gap,
    ...block("before", before.text, 5),
    gap,
    ...block("after", after.text, 16),
  ];
}

/** The first lines of a foreign text, safe to print; it says how much is left out. */
function excerpt(text: string, columns: number, most: number): string[] {
  const lines = wrap(printable(text).replaceAll("\t", "  ").trim(), Math.max(20, columns));
  if (lines.join("") === "") return ["(nothing)"];
  const kept = lines.filter((line, index) => line !== "" || lines[index - 1] !== "");
  if (kept.length <= most) return kept;
  return [...kept.slice(0, most - 1), `… ${kept.length - most + 1} more lines`];
}

function artifactLines(view: View, { style, cwd }: OutcomeOptions): string[] {
  const { artifact } = view;
  if (artifact === null) return [];
  const size = `${formatBytes(artifact.bytes)} in ${artifact.files} files`;
  return [`the ${artifact.kind}, ${size}:`, `  ${style.bold(pathText(artifact.path, cwd))}`];
}

function nextLines(view: View, options: OutcomeOptions): string[] {
  const { style, cwd } = options;
  const hint = (typed: string, meaning: string) => [`  ${typed}`, style.dim(`      ${meaning}`)];
  if (view.artifact === null) {
    const resume = view.checkpoint === null ? "starts again" : "goes on from the checkpoint";
    return [
      "next:",
      ...hint(`${command} resume ${shortName(view.run)}`, resume),
      ...hint(`${command} logs ${shortName(view.run)}`, "everything that the trainer printed"),
    ];
  }
  if (!isAbsolute(view.artifact.path)) {
    return [
      "next:",
      ...hint(`${command} pull ${shortName(view.run)}`, "brings it to this machine"),
    ];
  }
  const path = JSON.stringify(pathText(view.artifact.path, cwd));
  const packages = view.artifact.kind === "adapter" ? "transformers and peft" : "transformers";
  return blocks(
    [
      `next, in any Python that has ${packages}:`,
      "",
      "  from transformers import pipeline",
      `  model = ${path}`,
      `  chat = pipeline("text-generation", model)`,
      `  answer = chat([{"role": "user", "content": "Hello"}])`,
      `  print(answer[0]["generated_text"][-1]["content"])`,
    ],
    [
      "or here:",
      ...hint(`${command} show ${shortName(view.run)}`, "settings, curve and samples of this run"),
      ...(view.model === toyModel
        ? hint(
            `${command} train --model HuggingFaceTB/SmolLM2-135M-Instruct`,
            `${toyModel} is a toy that shows the way; this trains a real model`,
          )
        : []),
    ],
  );
}
