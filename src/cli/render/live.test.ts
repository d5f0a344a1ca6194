import { expect, test } from "vitest";
import { startedAt, view } from "../../../test/fixtures/story.ts";
import { createStyle } from "../terminal.ts";
import { runFrame, taskFrame } from "./live.ts";
import { width } from "./text.ts";

const frame = (columns: number, rows = 24) => ({
  columns,
  rows,
  style: createStyle(false),
  now: Date.parse(startedAt) + 66_000,
});

test("training in 80 columns", () => {
  expect(runFrame(view({ upTo: 160 }), frame(80)).join("\n")).toMatchInlineSnapshot(`
    "training  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╸────────────────  160/230   69%
    epoch 2.1 of 3 · 9,612 tokens/s · 1m 06s elapsed · 28s left · checkpoint at 92

     7.00 ┤●⡤⣀
          │  ⠁⠓⢢⢄⡀
          │     ⠈⠈●⠔⡤⣀
          │           ⠑⠑⠢●⡠⣀ ⡀
          │                 ⠉⠘⠑⠑⠒●⡴⠤⢄⢄⣄⣀●⢀   ⡀
     3.40 ┤                          ⠈⠈ ⠁⠋⠉⠑⠑⠙⠉●⠊⠒⠒⠱⠳⠢●⠔⠔⠤⢢⢦⠤⠔

           ━ loss 3.688   ● held-out 3.791, 7.000 before training"
  `);
});

test("training in 160 columns", () => {
  expect(runFrame(view({ upTo: 160 }), frame(160)).join("\n")).toMatchInlineSnapshot(`
    "training  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━───────────────────────  160/230   69%
    epoch 2.1 of 3 · 9,612 tokens/s · 1m 06s elapsed · 28s left · checkpoint at 92

     7.00 ┤●⠦⢄
          │  ⠈⠉⠖⢢⠤⣀
          │       ⠁⠑●⠔⢢⠤⣀
          │             ⠁⠑⠉⠖⠢●⡠⡀⣀⢀⡀⡀
          │                    ⠈ ⠁⠘⠉⠊⠢⠓●⢄⠦⡠⢄⠤⡠⡀⡀● ⡀⢀  ⢀
     3.40 ┤                                   ⠈⠈⠁⠉⠈⠁⠓⠑⠊⠋⠑●⠖⠑⠊⠒⠱⠔⠤⠢●⠤⢢⠔⡤⢢⠖⡤⢄⠔

           ━ loss 3.688   ● held-out 3.791, 7.000 before training"
  `);
});

test("no line is wider than the terminal, at any width and state", () => {
  for (const columns of [40, 60, 80, 100, 160]) {
    for (const upTo of [0, 1, 2, 100, 230]) {
      for (const line of runFrame(view({ upTo }), frame(columns))) {
        expect(width(line), line).toBeLessThanOrEqual(columns);
      }
    }
  }
});

test("a low terminal gets no curve", () => {
  expect(runFrame(view({ upTo: 160 }), frame(80, 10)).length).toBeLessThanOrEqual(3);
});

test("the newest answer stands below the curve, on one line that commands no terminal", () => {
  const story = view({ upTo: 160 });
  const answer = (step: number, text: string) =>
    ({ type: "generation", step, index: 0, prompt: "Hi", text }) as const;
  const generations = [...story.generations, answer(50, "old"), answer(100, "# A\n\n\u001b[2Jb")];
  const lines = runFrame({ ...story, generations }, frame(80));
  expect(lines.at(-1)).toBe("answer at step 100: # A \\u001b[2Jb");
  expect(runFrame({ ...story, generations }, frame(80, 12)).join()).not.toContain("answer");
});

test("before the first step the phase is told with the time it has taken", () => {
  const story = view({ upTo: 0 });
  expect(
    runFrame(
      { ...story, phase: { name: "model", detail: "loading moxi:tiny\u001b[2J" } },
      frame(80),
    ),
  ).toEqual(["⠋ loading moxi:tiny\\u001b[2J  1m 06s"]);
});

test("a run that was asked to stop says what it does now", () => {
  const stopping = view({ upTo: 100, status: { state: "stopping" } });
  expect(runFrame(stopping, frame(80))[0]).toContain("stopping: saving a checkpoint");
});

test("tasks show their text and, where it is known, how far they are", () => {
  const tasks = [
    { id: "dataset", text: "reading data.jsonl", fraction: undefined },
    { id: "python", text: "installing torch 2.15.0", fraction: 0.43 },
  ];
  expect(taskFrame(tasks, frame(80))).toEqual([
    "⠋ dataset   reading data.jsonl",
    "⠋ python    installing torch 2.15.0  ━━━━━━━─────────  43%",
  ]);
});
