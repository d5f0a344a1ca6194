import { beforeEach, expect, test, vi } from "vitest";
import { events, plan, run, view } from "../../test/fixtures/story.ts";
import { fakeTerminal } from "../../test/terminal.ts";
import type { FakeTerminal } from "../../test/terminal.ts";
import type { config } from "../api/config.ts";
import { createContext } from "../api/context.ts";
import type { logs } from "../api/logs.ts";
import type { resume } from "../api/resume.ts";
import type { runs } from "../api/runs.ts";
import type { show } from "../api/show.ts";
import type { stop } from "../api/stop.ts";
import type { train } from "../api/train.ts";
import type { Update, watch } from "../api/watch.ts";
import { MoxiError } from "../base/errors.ts";
import { runCli } from "./app.ts";

// The verbs are replaced: what is tested is what flags mean, what is printed, and the exit codes.
const verbs = vi.hoisted(() => ({
  train: vi.fn<typeof train>(),
  resume: vi.fn<typeof resume>(),
  watch: vi.fn<typeof watch>(),
  logs: vi.fn<typeof logs>(),
  stop: vi.fn<typeof stop>(),
  runs: vi.fn<typeof runs>(),
  show: vi.fn<typeof show>(),
  config: vi.fn<typeof config>(),
}));
vi.mock("../api/train.ts", () => ({ train: verbs.train }));
vi.mock("../api/resume.ts", () => ({ resume: verbs.resume }));
vi.mock("../api/watch.ts", () => ({ watch: verbs.watch }));
vi.mock("../api/logs.ts", () => ({ logs: verbs.logs }));
vi.mock("../api/stop.ts", () => ({ stop: verbs.stop }));
vi.mock("../api/runs.ts", () => ({ runs: verbs.runs }));
vi.mock("../api/show.ts", () => ({ show: verbs.show }));
vi.mock("../api/config.ts", () => ({ config: verbs.config }));

let terminal: FakeTerminal;

beforeEach(() => {
  vi.resetAllMocks();
  terminal = fakeTerminal();
  verbs.train.mockResolvedValue({ run, created: true, previous: null, plan: plan() });
  verbs.stop.mockImplementation(async () => view({ end: "stopped", upTo: 100 }));
});

const moxi = (...args: string[]) =>
  runCli(args, {
    terminal,
    debug: false,
    context: (host) =>
      createContext({
        ...(host === undefined ? {} : { host }),
        env: {},
        cwd: "/project",
        clock: { now: () => new Date("2026-11-23T14:13:13Z"), sleep: async () => {} },
      }),
  });
const lines = (text: string) =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);

async function* story(end: "succeeded" | "failed" | "stopped"): AsyncGenerator<Update> {
  const all = events({ upTo: 3, end });
  yield { view: view({ upTo: 2 }), events: all.slice(0, -2), logs: [] };
  yield { view: view({ upTo: 3, end }), events: all.slice(-2), logs: [] };
}

test.each([
  ["succeeded", 0],
  ["failed", 1],
  ["stopped", 1],
] as const)("train and watch of a run that %s exit with %i", async (end, code) => {
  verbs.watch.mockImplementation(() => story(end));
  expect(await moxi("train")).toBe(code);
  expect(await moxi("watch")).toBe(code);
  expect(terminal.written.out).toContain(`${end} `);
});

test("every setting is a flag: kebab case, as in the config, or with its dot", async () => {
  verbs.watch.mockImplementation(() => story("succeeded"));
  const settings =
    "--learning-rate 0.001 --effectiveBatch=8 --lora.rank 4 --lora-alpha 8 --split.groupBy package " +
    "--gradient-checkpointing --prompts a --prompts=b";
  await moxi("train", ...settings.split(" "), "--run-id", "ci-1", "--wait");
  const { signal: _signal, ...options } = verbs.train.mock.lastCall![1]!;
  expect(options).toEqual({
    flags: {
      learningRate: "0.001",
      effectiveBatch: "8",
      "lora.rank": "4",
      "lora.alpha": "8",
      "split.groupBy": "package",
      gradientCheckpointing: "true",
      prompts: ["a", "b"],
    },
    runId: "ci-1",
    whenBusy: "wait",
    yes: false,
    plan: undefined,
    ask: undefined,
  });
});

test("train --json prints notices, the start, the events as stamped, and the result", async () => {
  verbs.watch.mockImplementation(() => story("succeeded"));
  verbs.train.mockImplementation(async ({ host }) => {
    host.notify({ type: "info", text: "hello" });
    return { run, created: false, previous: "moxi-before", plan: plan() };
  });
  expect(await moxi("train", "--json")).toBe(0);
  const printed = lines(terminal.written.out);
  expect(printed[0]).toEqual({
    type: "notice",
    formatVersion: 1,
    notice: { type: "info", text: "hello" },
  });
  expect(printed[1]).toEqual({
    type: "started",
    formatVersion: 1,
    how: "attached",
    run,
    previous: "moxi-before",
  });
  expect(printed.slice(2, -1)).toEqual(events({ upTo: 3, end: "succeeded" }));
  expect(printed.at(-1)).toMatchObject({
    type: "result",
    formatVersion: 1,
    view: { run, status: "succeeded" },
  });
  expect(terminal.written.err).toBe("");
});

test("watch --json depends on the run alone", async () => {
  const printed = [];
  for (const columns of [80, 160]) {
    terminal = fakeTerminal({ columns, live: columns === 80, colour: columns === 80 });
    verbs.watch.mockImplementation(() => story("failed"));
    expect(await moxi("watch", "otter", "--json")).toBe(1);
    expect(terminal.written.err).toBe("");
    printed.push(terminal.written.out);
  }
  expect(verbs.watch.mock.lastCall![1]!.run).toBe("otter");
  expect(printed[0]).toBe(printed[1]);
  expect(lines(printed[0]!)).toHaveLength(events({ upTo: 3, end: "failed" }).length + 1);
});

/** A run that goes on until it is told to stop or its watcher leaves. */
function endless(stopped: Promise<unknown>) {
  verbs.watch.mockImplementation(async function* (_context, { signal } = {}) {
    yield { view: view({ upTo: 2 }), events: events({ upTo: 2 }), logs: [] };
    const left = new Promise((resolve) => signal!.addEventListener("abort", resolve));
    await Promise.race([stopped, left]);
    if (signal!.aborted) return;
    yield { view: view({ upTo: 2, end: "stopped" }), events: [], logs: [] };
  });
}

test("Ctrl-C in train stops the run with a checkpoint, and the exit code is 130", async () => {
  const stopped = Promise.withResolvers<void>();
  endless(stopped.promise);
  const code = moxi("train");
  await vi.waitFor(() => expect(terminal.written.err).toContain("step 1/230"), 30_000);
  terminal.interrupt();
  expect(verbs.stop.mock.lastCall![1]).toEqual({ run, how: "checkpoint" });
  expect(terminal.written.err).toContain(
    "stopping: saving a checkpoint; Ctrl-C again asks for an end at once",
  );
  stopped.resolve();
  expect(await code).toBe(130);
  expect(terminal.written.out).toContain("■ stopped");
});

test("a second Ctrl-C aborts the run, a third leaves it", async () => {
  endless(new Promise(() => {}));
  const code = moxi("train");
  await vi.waitFor(() => expect(terminal.written.err).toContain("step 1/230"), 30_000);
  terminal.interrupt();
  terminal.interrupt();
  expect(verbs.stop.mock.lastCall![1]).toEqual({ run, how: "abort" });
  terminal.interrupt();
  expect(await code).toBe(130);
  // Nobody waits for its end; and that it goes on would be said of a run that was asked to end.
  expect(terminal.written.err).toContain(
    "the run has not ended yet; to see whether it does: npx moxi watch calm-otter-7f3k",
  );
});

test("Ctrl-C in watch leaves the run alone", async () => {
  endless(new Promise(() => {}));
  const code = moxi("watch");
  await vi.waitFor(() => expect(terminal.written.err).toContain("step 1/230"), 30_000);
  terminal.interrupt();
  expect(await code).toBe(130);
  expect(verbs.stop).not.toHaveBeenCalled();
  expect(terminal.written.err).toContain("the run goes on");
});

test("Ctrl-C while the run is prepared calls the work back and exits with 130", async () => {
  verbs.train.mockImplementation(() => new Promise(() => {}));
  const code = moxi("train");
  await vi.waitFor(() => expect(verbs.train).toHaveBeenCalled(), 30_000);
  terminal.interrupt();
  expect(verbs.train.mock.lastCall![1]!.signal!.aborted).toBe(true);
  expect(await code).toBe(130);
  expect(terminal.written.err).toContain("interrupted during preparation");
});

test("an error is told to people on stderr, to programs on stdout, with its own exit code", async () => {
  const error = new MoxiError("E_DATASET_EMPTY", "data.jsonl is empty", { hint: "put rows in" });
  verbs.train.mockRejectedValue(error);
  expect(await moxi("train")).toBe(3);
  expect(terminal.written).toEqual({
    out: "",
    err: "error  data.jsonl is empty\n  fix  put rows in\n code  E_DATASET_EMPTY\n",
  });
  terminal = fakeTerminal();
  expect(await moxi("train", "--json")).toBe(3);
  expect(terminal.written.err).toBe("");
  expect(lines(terminal.written.out)).toEqual([
    {
      type: "error",
      formatVersion: 1,
      error: {
        code: "E_DATASET_EMPTY",
        message: "data.jsonl is empty",
        source: "user",
        exitCode: 3,
        hint: "put rows in",
      },
    },
  ]);
});

test("a bug is told as a bug, without its stack trace", async () => {
  verbs.runs.mockRejectedValue(new TypeError("x is not a function"));
  expect(await moxi("runs")).toBe(1);
  expect(terminal.written.err).toContain("this is a bug in Moxi");
  expect(terminal.written.err).not.toContain("cli.test.ts");
});

test.each([
  [["trian"], "there is no command trian: did you mean train?"],
  [["toString"], "there is no command toString"],
  [
    ["train", "--learing-rate", "1"],
    "there is no flag --learing-rate: did you mean --learning-rate?",
  ],
  [["train", "--constructor", "1"], "there is no flag --constructor"],
  [["train", "--epochs"], "--epochs needs a value"],
  [["train", "--epochs", "1", "--epochs", "2"], "--epochs was given twice"],
  [["train", "something"], 'what "something" means here is not clear'],
  [["runs", "-x"], "there is no flag -x"],
])("%j is a usage error", async (args, message) => {
  expect(await moxi(...args)).toBe(2);
  expect(terminal.written.err).toContain(`error  ${message}\n`);
  expect(terminal.written.out).toBe("");
});

test("without a command the help is printed, and each command has its own", async () => {
  expect(await moxi()).toBe(0);
  const all = terminal.written.out;
  const commands = [...all.matchAll(/^ {2}(\w+) {2,}\S/gm)].map(([, name]) => name!);
  expect(commands).toEqual([
    "train",
    "watch",
    "logs",
    "stop",
    "resume",
    "runs",
    "show",
    "pull",
    "merge",
    "data",
    "storage",
    "config",
  ]);
  const groups: Record<string, string[]> = {
    data: ["data check", "data fix"],
    storage: ["storage cp", "storage sync"],
  };
  const each = commands.flatMap((name) => groups[name] ?? name);
  for (const command of each) {
    terminal = fakeTerminal();
    expect(await moxi(...command.split(" "), "--help")).toBe(0);
    expect(terminal.written.out).toContain(`moxi ${command}`);
    expect(terminal.written.out).toContain("--json");
    for (const line of terminal.written.out.split("\n"))
      expect(line.length).toBeLessThanOrEqual(80);
  }
});

test("--version prints the package's version", async () => {
  expect(await moxi("--version")).toBe(0);
  expect(terminal.written.out).toMatch(/^\d+\.\d+\.\d+\n$/);
});

test("runs lists the newest twenty unless all are asked for", async () => {
  verbs.runs.mockResolvedValue([]);
  expect(await moxi("runs")).toBe(0);
  expect(verbs.runs.mock.lastCall![1]).toEqual({ limit: 20, remote: false });
  expect(terminal.written).toEqual({
    out: "",
    err: "no runs here yet: npx moxi train starts one\n",
  });
  terminal = fakeTerminal();
  await moxi("runs", "--all", "--remote", "--json");
  expect(verbs.runs.mock.lastCall![1]).toEqual({ limit: null, remote: true });
  expect(terminal.written.out).toBe('{"formatVersion":1,"runs":[]}\n');
});

test("show prints the run to people, the view to programs", async () => {
  verbs.show.mockResolvedValue(view({ end: "succeeded" }));
  expect(await moxi("show", "otter")).toBe(0);
  expect(verbs.show.mock.lastCall![1]).toEqual({ run: "otter" });
  for (const part of [run, "micro-batch", "✓ succeeded", "# tiny-parse"]) {
    expect(terminal.written.out).toContain(part);
  }
  terminal = fakeTerminal();
  await moxi("show", "--json");
  expect(lines(terminal.written.out)).toEqual([
    JSON.parse(JSON.stringify(view({ end: "succeeded" }))),
  ]);
});

test("logs prints foreign lines made safe, and as they are to programs", async () => {
  verbs.logs.mockImplementation(async function* () {
    yield { attempt: 1, text: "\u001b[2Jboo" };
  });
  expect(await moxi("logs", "-f")).toBe(0);
  expect(verbs.logs.mock.lastCall![1]).toMatchObject({ follow: true });
  expect(terminal.written.out).toBe("\\u001b[2Jboo\n");
  terminal = fakeTerminal();
  await moxi("logs", "--json");
  expect(lines(terminal.written.out)).toEqual([{ attempt: 1, text: "\u001b[2Jboo" }]);
});

test("stop keeps a checkpoint unless it is told to abort", async () => {
  expect(await moxi("stop")).toBe(0);
  expect(verbs.stop.mock.lastCall![1]).toMatchObject({ how: "checkpoint" });
  expect(terminal.written.out).toContain("the checkpoint at step 100 is kept");
  terminal = fakeTerminal();
  await moxi("stop", "--abort", "--json");
  expect(lines(terminal.written.out)).toEqual([view({ end: "stopped", upTo: 100 })]);
  expect(verbs.stop.mock.lastCall![1]).toMatchObject({ how: "abort" });
});

test("resume follows the run that goes on", async () => {
  verbs.watch.mockImplementation(() => story("succeeded"));
  verbs.resume.mockResolvedValue({ run, attempt: 2, plan: plan() });
  expect(await moxi("resume", "otter", "--json")).toBe(0);
  expect(verbs.resume.mock.lastCall![1]).toMatchObject({ run: "otter", whenBusy: "refuse" });
  expect(lines(terminal.written.out)[0]).toMatchObject({ type: "started", how: "resumed", run });
});

test("config prints each value with its source", async () => {
  verbs.config.mockResolvedValue({
    formatVersion: 1,
    file: "/project/moxi.config.ts",
    folder: "/project",
    settings: [
      { key: "epochs", value: 2, source: "flag", where: "--epochs" },
      { key: "microBatch", value: null, source: "default" },
    ],
    warnings: ["revision is not used"],
  });
  expect(await moxi("config", "--epochs", "2")).toBe(0);
  expect(verbs.config.mock.lastCall![1]).toEqual({ flags: { epochs: "2" } });
  expect(terminal.written.err).toBe("▲ revision is not used\n");
  expect(terminal.written.out).toBe(
    [
      "moxi.config.ts; strongest first: flag, environment, .env, config file, default",
      "",
      "epochs      2  --epochs",
      "microBatch  –  default",
      "",
      "– is decided later, from the data and the machine, or is not needed",
      "",
    ].join("\n"),
  );
});

test("in a terminal the progress is painted, and only the outcome goes to stdout", async () => {
  terminal = fakeTerminal({ live: true });
  verbs.watch.mockImplementation(() => story("succeeded"));
  expect(await moxi("train")).toBe(0);
  expect(terminal.written.err).toContain("training  ");
  expect(terminal.written.err).not.toContain("step 1/230");
  expect(terminal.written.out).toContain("✓ succeeded");
  expect(terminal.written.out).not.toContain("\u001b");
});
