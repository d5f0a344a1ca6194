import { expect, test } from "vitest";
import { events, run, startedAt, view } from "../../../test/fixtures/story.ts";
import { screen } from "../../../test/screen.ts";
import { fakeTerminal } from "../../../test/terminal.ts";
import type { FakeTerminal } from "../../../test/terminal.ts";
import { peoplePresenter } from "./people.ts";

const present = (terminal: FakeTerminal, seconds = 66) =>
  peoplePresenter(terminal, {
    cwd: "/project",
    now: () => Date.parse(startedAt) + seconds * 1000,
  });
const start = { how: "created", run, previous: null } as const;

test("a terminal in the middle of a run", () => {
  const terminal = fakeTerminal({ live: true });
  const presenter = present(terminal);
  presenter.notify({ type: "task", id: "dataset", state: "started", text: "reading rows" });
  presenter.notify({ type: "task", id: "dataset", state: "done", text: "612 rows" });
  presenter.notify({ type: "warning", text: "12 rows are too long", hint: "raise maxSeqLength" });
  presenter.started(start);
  presenter.update({ view: view({ upTo: 50 }), events: events({ upTo: 50 }), logs: [] });
  presenter.update({ view: view({ upTo: 160 }), events: events({ upTo: 160 }), logs: [] });
  expect(screen(80, terminal.written.err).join("\n")).toMatchInlineSnapshot(`
    "✓ dataset   612 rows
    ▲ 12 rows are too long
      raise maxSeqLength

    moxi-20261123-141207-calm-otter-7f3k
    moxi:tiny, full, on this machine: 612 rows to train on, 32 held out
    Ctrl-C stops it with a checkpoint; closing the terminal does not stop it

    method                  full       a toy of half a million parameters trains
                                       whole
    precision               float32    this CPU has no bfloat16 units
    micro-batch             8          the whole effective batch fits into memory at
                                       once
    packing                 false      padding costs 6 % of the tokens, packing
                                       would cost half of the speed on a CPU
    evaluate every          23         ten times a run

    ▲ held-out loss has risen since step 138 while the training loss falls
      fewer epochs, or more rows

    training  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╸────────────────  160/230   69%
    epoch 2.1 of 3 · 9,612 tokens/s · 1m 06s elapsed · 28s left · checkpoint at 92

     7.00 ┤●⠤⣀
          │  ⠁⠓⢄⢄⡀
          │     ⠈⠘●⠤⡠⣀
          │          ⠁⠉⠑⠢●⢄⡠⣀
          │                 ⠁⠋⠑⠢●⠢⠤⠤⡠⡠⣀●⡀⡀
     3.40 ┤                            ⠈⠘⠉⠉⠊⠊⠊⠑●⠑⠒⠊⠖⠔⠤●⢢⠦⠤⡰⡴⠤

           ━ loss 3.688   ● held-out 3.791, 7.000 before training"
  `);
});

test("no painted line is cut, at any width", () => {
  for (const columns of [60, 80, 100, 160]) {
    const terminal = fakeTerminal({ live: true, columns });
    present(terminal).update({ view: view({ upTo: 160 }), events: [], logs: [] });
    expect(terminal.written.err, String(columns)).not.toContain("…");
  }
});

test("the clock goes on between two updates", () => {
  const terminal = fakeTerminal({ live: true });
  let seconds = 10;
  const presenter = peoplePresenter(terminal, {
    cwd: "/project",
    now: () => Date.parse(startedAt) + seconds * 1000,
  });
  presenter.update({ view: view({ upTo: 5 }), events: [], logs: [] });
  expect(terminal.written.err).toContain("10s elapsed");
  seconds = 11;
  terminal.tick();
  expect(terminal.written.err).toContain("11s elapsed");
  presenter.close();
  const { err } = terminal.written;
  terminal.tick();
  expect(terminal.written.err).toBe(err);
});

test("what two boots decide and warn of is told once", () => {
  const terminal = fakeTerminal();
  const presenter = present(terminal);
  const story = events({ upTo: 160 });
  const again = story.map((event) => ({ ...event, boot: 2 }));
  presenter.update({ view: view({ upTo: 160 }), events: [...story, ...again], logs: [] });
  expect(terminal.written.err.match(/^precision /gm)).toHaveLength(1);
  expect(terminal.written.err.match(/held-out loss has risen/g)).toHaveLength(1);
});

test("elsewhere tasks, phases, evaluations and checkpoints get a line, without control sequences", () => {
  const terminal = fakeTerminal({ columns: Infinity });
  const presenter = present(terminal);
  presenter.notify({ type: "task", id: "python", state: "started", text: "preparing Python" });
  presenter.notify({ type: "task", id: "python", state: "progress", text: "torch", fraction: 0.5 });
  presenter.notify({ type: "task", id: "python", state: "done", text: "Python 3.11" });
  presenter.started({ ...start, previous: "moxi-20261122-101207-brave-lynx-2f3k" });
  presenter.update({ view: view({ upTo: 92 }), events: events({ upTo: 92 }), logs: [] });
  const text = terminal.written.err;
  expect(text.startsWith("  python    preparing Python\n✓ python    Python 3.11\n\nmoxi-")).toBe(
    true,
  );
  expect(text).toContain("the same plan ran before: npx moxi show brave-lynx-2f3k\n");
  expect(text).toContain("\nreading the data\nloading moxi:tiny\n");
  expect(text).toContain(
    "\nstep 92           held-out loss 4.102 · perplexity 60.5\nstep 92           checkpoint, 6.2 MB\n",
  );
  expect(text).not.toContain("torch");
  expect(text).not.toContain("\u001b");
});

test("a run that failed shows the newest lines of its log", () => {
  const terminal = fakeTerminal();
  const presenter = present(terminal);
  const logs = Array.from({ length: 40 }, (_, index) => ({ attempt: 1, text: `line ${index}` }));
  const failed = view({ end: "failed", upTo: 3 });
  presenter.update({ view: failed, events: [], logs });
  presenter.ended(failed);
  expect(terminal.written.out).toContain("line 39");
  expect(terminal.written.out).not.toContain("line 20");
});

test("who is waited for is said on one line, which goes when the answer comes", () => {
  const terminal = fakeTerminal({ live: true });
  const presenter = present(terminal);
  presenter.notify({ type: "task", id: "dataset", state: "done", text: "612 rows" });
  presenter.waiting!("AWS: ask who you are");
  expect(screen(80, terminal.written.err).at(-1)).toMatch(/waiting {3}for AWS: ask who you are$/);
  presenter.waiting!("AWS: look at the role trainer");
  expect(screen(80, terminal.written.err)).toHaveLength(2);
  presenter.waiting!(null);
  expect(screen(80, terminal.written.err).join("\n").trimEnd()).toBe("✓ dataset   612 rows");
  presenter.close();
  presenter.waiting!("AWS: a straggler");
  expect(screen(80, terminal.written.err).join("\n").trimEnd()).toBe("✓ dataset   612 rows");
  // Elsewhere it would be a line of no use.
  expect(present(fakeTerminal()).waiting).toBeUndefined();
});

test("after the end of a run its model is fetched, with a bar", () => {
  const terminal = fakeTerminal({ live: true });
  const presenter = present(terminal);
  presenter.started(start);
  const ended = view({ end: "succeeded" });
  presenter.update({ view: ended, events: events({ end: "succeeded" }), logs: [] });
  const task = { type: "task", id: "download" } as const;
  presenter.notify({ ...task, state: "started", text: "the model, 2.3 MB" });
  presenter.notify({ ...task, state: "progress", text: "the model: 1 MB", fraction: 0.5 });
  expect(screen(80, terminal.written.err).at(-1)).toMatch(/download {2}the model: 1 MB.* 50%$/);
  presenter.notify({ ...task, state: "done", text: "2.3 MB fetched" });
  presenter.close();
  expect(screen(80, terminal.written.err).join("\n").trimEnd()).toMatch(
    /✓ download {2}2.3 MB fetched$/,
  );
});
