import { isAbsolute, relative } from "node:path";
import type { Offer } from "../../api/consent.ts";
import { formatDuration, printable } from "../../base/format.ts";
import type { PhaseName } from "../../run/event.ts";
import type { RunStatus, View } from "../../run/fold.ts";
import type { Style } from "../terminal.ts";

/** How people type a command; it works in a clone, in a project and with nothing installed. */
export const command = "npx moxi";

const commands = "config|data|logs|merge|pull|resume|runs|show|stop|storage|train|watch|--help";
const named = new RegExp(`(?<!npx )\\bmoxi(?= (?:${commands})(?![\\w-]))`, "g");

/** Advice of the library, which names commands alone: "moxi pull calm-otter" -> "npx moxi pull calm-otter". */
export function asTyped(advice: string): string {
  return advice.replace(named, command);
}

const phaseWords: Readonly<Record<PhaseName, string>> = {
  waiting: "waiting for a machine",
  starting: "starting the trainer",
  data: "reading the data",
  model: "loading the model",
  training: "training",
  saving: "saving the model",
};

/** What goes on now, in the trainer's own words where it has some. */
export function phaseText(phase: View["phase"]): string {
  return printable(phase?.detail ?? phaseWords[phase?.name ?? "starting"]);
}

/** The part of a run's id that people remember; it finds the run as well as the whole does. */
export function shortName(run: string): string {
  return run.replace(/^moxi-\d{8}-\d{6}-(?=.)/, "");
}

/** A status with its mark, in its colour. */
export function statusText(status: RunStatus | "unreadable" | "unknown", style: Style): string {
  switch (status) {
    case "succeeded":
      return style.green(`✓ ${status}`);
    case "failed":
    case "unreadable":
      return style.red(`✗ ${status}`);
    case "stopped":
    case "interrupted":
      return style.yellow(`■ ${status}`);
    case "unknown":
      return style.yellow(`? ${status}`);
    case "starting":
    case "running":
    case "stopping":
      return style.cyan(`● ${status}`);
  }
}

/** A loss in nats to three places; `null` stands for one that was not a number. */
export function lossText(loss: number | null): string {
  return loss === null ? "not finite" : loss.toFixed(3);
}

/** The perplexity of a loss: among how many equally likely tokens the model is undecided. */
export function perplexityText(loss: number): string {
  return `perplexity ${Number(Math.exp(loss).toPrecision(3))}`;
}

/** What a run that is about to start can cost, and who says so. */
export function offerText({
  target,
  machine,
  spot,
  region,
  price,
  maxSeconds,
  worstUsd,
}: Offer): string {
  const most = `at most $${worstUsd.toFixed(2)}`;
  const { perHour, source, date } = price;
  return (
    `${target}, ${printable(machine)}${spot ? " (spot)" : ""} in ${region}: ${most} for ` +
    `${formatDuration(maxSeconds)} at $${perHour} an hour (${source}, ${date})`
  );
}

/** What a run has cost so far: "$0.42 so far". */
export function costText({ usd }: { readonly usd: number }): string {
  return `$${usd.toFixed(2)}`;
}

/** A path as it is typed from here; addresses and what lies elsewhere stay whole. */
export function pathText(path: string, cwd: string): string {
  if (!isAbsolute(path)) return path;
  const short = relative(cwd, path);
  return short === "" || short.startsWith("..") ? path : short;
}

/** Seconds of the newest attempt, to its end or to now. */
export function attemptSeconds(view: View, now: number): number {
  const attempt = view.attempts.at(-1);
  if (attempt === undefined) return 0;
  const end = attempt.endedAt ?? view.endedAt;
  return ((end === null ? now : Date.parse(end)) - Date.parse(attempt.startedAt)) / 1000;
}
