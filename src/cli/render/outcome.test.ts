import { expect, test } from "vitest";
import { view } from "../../../test/fixtures/story.ts";
import { createStyle } from "../terminal.ts";
import { outcomeLines } from "./outcome.ts";
import { width } from "./text.ts";

const options = { columns: 80, style: createStyle(false), cwd: "/project" };

test("a run that succeeded, in 80 columns", () => {
  const lines = outcomeLines(view({ end: "succeeded" }), options);
  expect(lines.join("\n")).toMatchInlineSnapshot(`
    " 7.00 ┤●⡤⣀
          │  ⠁⠓⠢⢄⡀
          │     ⠈⠈●⠖⡤⣀⡀⡀
          │           ⠈⠘⠱●⠔⡤⣀⡀⡀
          │                 ⠁⠈⠘⠑⠊●⠔⠤⢄⢄⢄⢄●⣀⢀⡀⡀⡀ ●⢀
     3.30 ┤                              ⠁⠁⠈⠈⠈⠉⠊⠊⠋⠑⠑⠑⠑●⠞⠒⠢⠳⠢⠒⠔●⠔⠢⢢⠦⠤⠔●⠤⠤⢢⢦⠦⠔●⡠⢄⢦⢦⠤⠤●

           ━ loss 3.584   ● held-out 3.650, 7.000 before training

    ✓ succeeded in 1m 43s
      held-out loss 7.000 → 3.650, × 0.52 (32 rows never trained on)

    one prompt, answered before and after training:

    prompt  │ Write a README for this project.
            │
            │ package.json
            │ src/index.js
            │ … 4 more lines
            │
    before  │ \\u0007 qxz;; {{{ the the\\u001b[31m}} ]]of of 0x7f 日本 … … … .. .. of
            │
    after   │ # tiny-parse
            │
            │ > Parse small things, quickly.
            │
            │ ## Install
            │
            │ \`\`\`sh
            │ npm install tiny-parse
            │ \`\`\`
            │
            │ ## Usage
            │
            │ \`\`\`js
            │ const parse = require("tiny-parse");
            │ parse("a=1"); // { a: "1" }
            │ \`\`\`

    the model, 2.3 MB in 8 files:
      .moxi/runs/moxi-20261123-141207-calm-otter-7f3k/ml/model

    next, in any Python that has transformers:

      from transformers import pipeline
      model = ".moxi/runs/moxi-20261123-141207-calm-otter-7f3k/ml/model"
      chat = pipeline("text-generation", model)
      answer = chat([{"role": "user", "content": "Hello"}])
      print(answer[0]["generated_text"][-1]["content"])

    or here:
      npx moxi show calm-otter-7f3k
          settings, curve and samples of this run
      npx moxi train --model HuggingFaceTB/SmolLM2-135M-Instruct
          moxi:tiny is a toy that shows the way; this trains a real model"
  `);
  for (const line of lines) expect(width(line), line).toBeLessThanOrEqual(80);
});

test("an adapter of a real model is loaded with peft, and no toy is spoken of", () => {
  const text = outcomeLines(
    view({ end: "succeeded", model: "org/model", artifact: "adapter" }),
    options,
  ).join("\n");
  expect(text).toContain("the adapter, 2.3 MB in 8 files:");
  expect(text).toContain("in any Python that has transformers and peft:");
  expect(text).not.toContain("toy");
});

test("a run that failed tells why, its newest log lines and how to go on", () => {
  const logs = ["Traceback", "RuntimeError: out of memory \u001b[31m"];
  const text = outcomeLines(view({ end: "failed", upTo: 100 }), { ...options, logs }).join("\n");
  expect(text).toContain(
    "✗ failed after 46s at step 100 of 230; the checkpoint at step 92 is kept",
  );
  expect(text).toContain("error  RuntimeError: out of memory");
  expect(text).toContain("       │ RuntimeError: out of memory \\u001b[31m");
  expect(text).toContain("npx moxi resume calm-otter-7f3k\n      goes on from the checkpoint");
});

test("a run whose process is gone says so; without a checkpoint it starts again", () => {
  const text = outcomeLines(view({ upTo: 50, status: { state: "gone" } }), options).join("\n");
  expect(text).toContain("■ interrupted after");
  expect(text).toContain("at step 50 of 230; no checkpoint was kept");
  expect(text).toContain("ended without a word");
  expect(text).toContain("starts again");
});

test("a run that ended before its first step has no curve, no loss and no samples to show", () => {
  const lines = outcomeLines(view({ end: "failed", upTo: 0 }), options);
  expect(lines[0]).toMatch(/^✗ failed after \d+s; no checkpoint was kept$/);
  expect(lines.join("\n")).not.toContain("before and after");
});

test("a run whose best weights came before its last says which it keeps", () => {
  const story = view({ end: "succeeded" });
  const best = { ...story.evals[3]!, loss: 3.1 };
  const evals = [...story.evals.slice(0, 3), best, ...story.evals.slice(4)];
  const heldOutLoss = { ...story.heldOutLoss, best: 3.1 };
  const told = (keptStep: number | null) =>
    outcomeLines({ ...story, evals, heldOutLoss, keptStep }, options).join("\n");
  expect(told(best.step)).toContain(`, lowest 3.100 at step ${best.step}, which is kept (`);
  expect(told(story.evals.at(-1)!.step)).toContain(`, lowest 3.100 at step ${best.step} (`);
});

test("a run that was paid for: what each stage took, what it cost, and what to change", () => {
  const stage = (name: string, text: string, from: number, to: number) => ({
    name,
    text,
    startedAt: new Date(from * 1000).toISOString(),
    endedAt: new Date(to * 1000).toISOString(),
  });
  const price = {
    perHour: 1.515,
    region: "us-east-1",
    source: "AWS's price list",
    date: "2026-11-28",
  };
  const paid = {
    ...view({ end: "failed", upTo: 3 }),
    error: "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
    failure: { kind: "out of memory" as const, hint: "lower --micro-batch or --max-seq-length" },
    stages: [
      stage("Starting", "SageMaker prepares the machine", 0, 130),
      stage("Downloading", "downloading data and image", 130, 200),
      stage("Training", "training", 200, 500),
      stage("Failed", "failed", 500, 500),
    ],
    cost: { ...price, seconds: 370, usd: 0.1557 },
  };
  const lines = outcomeLines(paid, options).join("\n");
  expect(lines).toContain(
    "  SageMaker prepares the machine 2m 10s · downloading data and image 1m 10s ·\n" +
      "  training 5m 00s\n" +
      "  cost $0.16: 6m 10s at $1.515 an hour (AWS's price list, 2026-11-28)\n",
  );
  expect(lines).toContain("\nchange lower --micro-batch or --max-seq-length\n");
  const free = outcomeLines({ ...paid, cost: { ...price, seconds: 0, usd: 0 } }, options);
  expect(free).toContain("  cost nothing: no second was billed");
});

test("a model that is still in the cloud names its address, and the command that brings it", () => {
  const done = view({ end: "succeeded" });
  const artifact = { ...done.artifact!, path: "s3://team-data/moxi/models/x/output/model/" };
  const text = outcomeLines({ ...done, artifact }, options).join("\n");
  expect(text).toContain("\n  s3://team-data/moxi/models/x/output/model/\n");
  expect(text).toContain("npx moxi pull calm-otter-7f3k");
  expect(text).not.toContain("from transformers");
});
