import { formatCount, formatDuration, printable } from "../../base/format.ts";
import type { View } from "../../run/fold.ts";
import type { Style } from "../terminal.ts";
import { bar } from "./bar.ts";
import { chart } from "./chart.ts";
import { fit, padEnd, padStart, width } from "./text.ts";
import { attemptSeconds, costText, lossText, phaseText } from "./words.ts";

export interface FrameOptions {
  readonly columns: number;
  readonly rows: number;
  readonly style: Style;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/** Wider than this a bar or a curve is no clearer. */
const widest = 100;
const spinner = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏";

export function spin(now: number): string {
  return spinner[Math.floor(now / 100) % spinner.length]!;
}

/** A piece of work before the run starts. */
export interface Task {
  readonly id: string;
  readonly text: string;
  readonly fraction: number | undefined;
}

/** The lines that are painted while work goes on before the run starts. */
export function taskFrame(tasks: readonly Task[], options: FrameOptions): string[] {
  const { style, now } = options;
  const columns = Math.min(options.columns, widest);
  return tasks.map((task) => {
    const head = `${style.cyan(spin(now))} ${padEnd(task.id, 8)}  `;
    if (task.fraction === undefined) {
      return head + fit(printable(task.text), columns - width(head));
    }
    const percent = padStart(`${Math.floor(task.fraction * 100)}%`, 4);
    const text = fit(printable(task.text), columns - width(head) - 24);
    return `${head}${text}  ${bar(task.fraction, 16, style)} ${percent}`;
  });
}

/** The lines that are painted while a run goes on. */
export function runFrame(view: View, options: FrameOptions): string[] {
  const columns = Math.min(options.columns, widest);
  const { style, now } = options;
  const elapsed = formatDuration(attemptSeconds(view, now));
  const phase =
    view.status === "stopping" ? "stopping: saving a checkpoint" : phaseText(view.phase);
  const { progress } = view;
  if (progress === null || view.phase?.name !== "training") {
    const head = `${style.cyan(spin(now))} `;
    // Before the trainer has said anything, the provider knows better what goes on.
    const text = view.phase === null && view.detail !== null ? printable(view.detail) : phase;
    const cost = view.cost === null ? "" : `  ${costText(view.cost)}`;
    return [head + fit(text, columns - 20) + style.dim(`  ${elapsed}${cost}`)];
  }

  const steps = `${formatCount(progress.step)}/${formatCount(progress.steps)}`;
  const fraction = progress.step / progress.steps;
  const tail = `  ${steps}  ${padStart(`${Math.floor(fraction * 100)}%`, 4)}`;
  const head = `${phase}  `;
  const facts = [
    `epoch ${Math.min(progress.epoch, progress.epochs).toFixed(1)} of ${progress.epochs}`,
    progress.tokensPerSecond === null ? "" : `${formatCount(progress.tokensPerSecond)} tokens/s`,
    `${elapsed} elapsed`,
    view.cost === null ? "" : `${costText(view.cost)} so far`,
    (progress.etaSeconds ?? 0) < 1 ? "" : `${formatDuration(progress.etaSeconds!)} left`,
    view.checkpoint === null ? "" : `checkpoint at ${formatCount(view.checkpoint.step)}`,
  ].filter((fact) => fact !== "");
  return [
    style.bold(head) + bar(fraction, Math.max(10, columns - width(head + tail)), style) + tail,
    style.dim(joinFitting(facts, columns)),
    "",
    ...curve(view, { columns, rows: Math.min(6, options.rows - 8), style }),
    ...newestAnswer(view, { columns, rows: options.rows - 16, style }),
  ];
}

/** What the model answers by now to the first prompt, where two lines have room for it. */
function newestAnswer(
  view: View,
  { columns, rows, style }: { columns: number; rows: number; style: Style },
): string[] {
  const answer = view.generations.findLast((item) => item.index === 0 && item.step > 0);
  if (answer === undefined || rows < 2) return [];
  const text = printable(answer.text).replaceAll(/\s+/g, " ").trim();
  const label = `answer at step ${formatCount(answer.step)}: `;
  return ["", style.dim(label) + fit(text, columns - width(label))];
}

/** As many of the facts, from the first, as a line has room for. */
function joinFitting(facts: readonly string[], columns: number): string {
  const text = facts.join(" · ");
  return width(text) <= columns || facts.length < 2
    ? text
    : joinFitting(facts.slice(0, -1), columns);
}

/** The loss curve with its legend; nothing where no loss is known yet or no room is left. */
export function curve(
  view: View,
  options: { readonly columns: number; readonly rows: number; readonly style: Style },
): string[] {
  const { columns, rows, style } = options;
  const step = view.steps.at(-1);
  if (step === undefined || rows < 3) return [];
  const { first, last } = view.heldOutLoss;
  const plot = chart({
    line: view.steps.map((item) => [item.step, item.loss]),
    marks: view.evals.map((item) => [item.step, item.loss]),
    steps: step.steps,
    columns: Math.min(columns, widest) - 7,
    rows,
    paintLine: style.cyan,
    paintMark: style.yellow,
    paintAxis: style.dim,
  });
  const heldOut =
    view.evals.length === 0 ? "" : `   ${style.yellow("●")} held-out ${lossText(last)}`;
  const before =
    view.evals.length < 2 || columns < 64 ? "" : style.dim(`, ${lossText(first)} before training`);
  return [...plot, "", `       ${style.cyan("━")} loss ${lossText(step.loss)}${heldOut}${before}`];
}
