import { formatBytes, formatCount, formatDuration, printable } from "../../base/format.ts";
import type { AlertEvent, DecisionEvent, RunEvent } from "../../run/event.ts";
import type { View } from "../../run/fold.ts";
import type { Style } from "../terminal.ts";
import { labelled, padEnd } from "./text.ts";
import { asTyped, lossText, perplexityText, phaseText } from "./words.ts";

export interface LineOptions {
  readonly columns: number;
  readonly style: Style;
}

/** What runs, where and on what: the first lines of every story. */
export function headLines(view: View, { style }: LineOptions): string[] {
  const { train, eval: heldOut } = view.rows;
  return [
    style.bold(view.run),
    `${printable(view.model)}, ${view.method}, on ${printable(view.machine)}: ` +
      `${formatCount(train)} rows to train on, ${formatCount(heldOut)} held out`,
  ];
}

/** A derived value and its reason, in columns that line up from one decision to the next. */
export function decisionLines(
  decision: Pick<DecisionEvent, "name" | "value" | "reason">,
  { columns, style }: LineOptions,
): string[] {
  const { name, value } = decision;
  const text = typeof value === "number" && value >= 10_000 ? formatCount(value) : String(value);
  const label = `${padEnd(printable(name), 22)}  ${padEnd(printable(text), 9)}  `;
  return labelled(label, printable(decision.reason), columns, style.dim);
}

/** Something that the user should know, and what to do about it. */
export function alertLines(
  alert: Pick<AlertEvent, "level" | "message" | "hint"> & { readonly command?: string },
  { columns, style }: LineOptions,
): string[] {
  const paint = { info: style.dim, warning: style.yellow, error: style.red }[alert.level];
  const lines = labelled("▲ ", printable(alert.message), columns).map(paint);
  const { hint, command } = alert;
  return [
    ...lines,
    ...(hint === undefined ? [] : labelled("  ", printable(asTyped(hint)), columns, style.dim)),
    // Whole: a line end of ours would be typed too.
    ...(command === undefined ? [] : [`  ${printable(command)}`]),
  ];
}

/**
 * Makes what tells events where lines cannot be painted over: a line for each, or none. Steps get
 * one at the start, at the end, at each twentieth in between, and once a minute where they are
 * slow: by the events alone, so that a replay reads the same.
 */
export function eventLines(style: Style): (event: RunEvent) => string | undefined {
  let shown = { part: -1, at: -Infinity };
  let pace = { steps: 0, seconds: 0 };

  const stepLine = (event: Extract<RunEvent, { type: "step" }>) => {
    pace = { steps: pace.steps + 1, seconds: pace.seconds + event.seconds };
    const part = Math.floor((event.step * 20) / event.steps);
    const at = Date.parse(event.at);
    if (part === shown.part && at - shown.at < 60_000) return undefined;
    shown = { part, at };
    const left = ((event.steps - event.step) * pace.seconds) / pace.steps;
    return [
      `${stepLabel(`${event.step}/${event.steps}`)}loss ${lossText(event.loss)}`,
      event.tokensPerSecond === null ? "" : `${formatCount(event.tokensPerSecond)} tokens/s`,
      left < 1 ? "" : `about ${formatDuration(left)} left`,
    ]
      .filter((text) => text !== "")
      .join(" · ");
  };

  return (event) => {
    switch (event.type) {
      case "phase":
        return style.dim(phaseText(event));
      case "step":
        return stepLine(event);
      case "eval":
        return [
          `${stepLabel(event.step)}held-out loss ${lossText(event.loss)}`,
          ...(event.loss === null ? [] : [perplexityText(event.loss)]),
        ].join(" · ");
      case "checkpoint":
        return `${stepLabel(event.step)}checkpoint, ${formatBytes(event.bytes)}`;
      case "resumed":
        return event.fromStep === 0 ? "starts again" : `goes on from step ${event.fromStep}`;
      case "decision":
      case "generation":
      case "alert":
      case "artifact":
      case "heartbeat":
      case "end":
        return undefined;
    }
  };
}

function stepLabel(step: number | string): string {
  return `step ${step}`.padEnd(18);
}
