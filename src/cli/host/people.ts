import { printable } from "../../base/format.ts";
import type { Notice, TaskNotice } from "../../base/host.ts";
import type { DecisionEvent, RunEvent } from "../../run/event.ts";
import { hasEnded } from "../../run/fold.ts";
import type { View } from "../../run/fold.ts";
import { alertLines, decisionLines, eventLines, headLines } from "../render/lines.ts";
import { runFrame, taskFrame } from "../render/live.ts";
import type { Task } from "../render/live.ts";
import { outcomeLines } from "../render/outcome.ts";
import { labelled, padEnd } from "../render/text.ts";
import { command, shortName } from "../render/words.ts";
import type { Terminal } from "../terminal.ts";
import { createPainter, paintedColumns } from "./painter.ts";
import type { Presenter, Start } from "./presenter.ts";

export interface PeopleOptions {
  readonly cwd: string;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/**
 * Shows a run to people. In a terminal a few lines are painted over and over: the running tasks,
 * then the progress and the curve. Elsewhere every stage, evaluation and checkpoint gets a line.
 */
export function peoplePresenter(terminal: Terminal, options: PeopleOptions): Presenter {
  const { err, out, live } = terminal;
  const painter = createPainter(terminal);
  const tasks = new Map<string, Task>();
  const told = new Set<string>();
  const lineOf = eventLines(err.style);
  let section: string | undefined;
  let logs: string[] = [];
  let view: View | undefined;
  let start: Start | undefined;
  let waiting: string | null = null;
  let closed = false;

  const lineOptions = () => ({ columns: err.columns(), style: err.style });
  /** Sections of lines are set apart by an empty line. */
  const print = (name: string, lines: readonly string[]) => {
    const gap = section === undefined || section === name ? [] : [""];
    section = name;
    painter.print([...gap, ...lines]);
  };
  const paint = () => {
    const columns = paintedColumns(terminal);
    const frame = { columns, rows: terminal.rows(), style: err.style, now: options.now() };
    // Before the run, and after it, when its model is fetched.
    if (view === undefined || hasEnded(view.status)) {
      const waits =
        waiting === null ? [] : [{ id: "waiting", text: `for ${waiting}`, fraction: undefined }];
      painter.paint(taskFrame([...tasks.values(), ...waits], frame));
    } else painter.paint(["", ...runFrame(view, frame)]);
  };
  const stopTicking = live ? terminal.every(100, paint) : () => {};

  const tellTask = ({ id, state, text, fraction }: TaskNotice) => {
    if (state === "done") {
      tasks.delete(id);
      const label = `${err.style.green("✓")} ${padEnd(id, 8)}  `;
      print("tasks", labelled(label, printable(text), err.columns()));
    } else {
      tasks.set(id, { id, text, fraction });
      if (state === "started" && !live)
        print("tasks", [err.style.dim(`  ${padEnd(id, 8)}  ${printable(text)}`)]);
    }
  };

  const tellDecisions = (decisions: readonly DecisionEvent[]) => {
    for (const decision of decisions) {
      if (told.has(decision.name)) continue;
      told.add(decision.name);
      print(live ? "decisions" : "story", decisionLines(decision, lineOptions()));
    }
  };

  const tellEvent = (event: RunEvent) => {
    if (event.type === "decision") {
      tellDecisions([event]);
    } else if (event.type === "alert" && !told.has(`alert ${event.code}`)) {
      told.add(`alert ${event.code}`);
      print("story", alertLines(event, lineOptions()));
    } else if (!live) {
      const line = lineOf(event);
      if (line !== undefined) print("story", [line]);
    }
  };

  const tellStages = ({ stages }: View) => {
    for (const { startedAt, text } of stages) {
      if (told.has(`stage ${startedAt} ${text}`)) continue;
      told.add(`stage ${startedAt} ${text}`);
      print("story", [err.style.dim(`${startedAt.slice(11, 19)} UTC  ${printable(text)}`)]);
    }
  };
  const startLines = () => {
    if (start === undefined) return [];
    const { how, previous } = start;
    const lines = ["Ctrl-C stops it with a checkpoint; closing the terminal does not stop it"];
    if (how === "attached") lines.unshift("it was started before, and is followed from here on");
    if (previous !== null) {
      lines.unshift(`the same plan ran before: ${command} show ${shortName(previous)}`);
    }
    return lines.flatMap((line) => labelled("", line, err.columns(), err.style.dim));
  };

  return {
    notify(notice: Notice) {
      if (notice.type === "task") {
        tellTask(notice);
      } else {
        const alert = { ...notice, level: notice.type, message: notice.text };
        print(view === undefined ? "tasks" : "story", alertLines(alert, lineOptions()));
      }
      paint();
    },

    waiting: live
      ? (what) => {
          waiting = what;
          if (!closed) paint();
        }
      : undefined,

    started(started) {
      start = started;
      tasks.clear();
    },

    update(update) {
      if (view === undefined) {
        print("head", [...headLines(update.view, lineOptions()), ...startLines()]);
        tellDecisions(update.view.decisions);
      }
      view = update.view;
      logs = [...logs, ...update.logs.map((line) => line.text)].slice(-12);
      if (!live) tellStages(view);
      update.events.forEach(tellEvent);
      if (hasEnded(view.status)) painter.paint([]);
      else paint();
    },

    ended(last) {
      if (section !== undefined) painter.print([""]);
      const lines = outcomeLines(last, {
        columns: out.columns(),
        style: out.style,
        cwd: options.cwd,
        logs,
      });
      out.write(lines.map((line) => `${line}\n`).join(""));
    },

    left(run, isToEnd) {
      const text = isToEnd
        ? "the run has not ended yet; to see whether it does"
        : "the run goes on; to see it again";
      print("left", [`${text}: ${command} watch ${shortName(run)}`]);
    },

    close() {
      closed = true;
      stopTicking();
      painter.paint([]);
    },
  };
}
