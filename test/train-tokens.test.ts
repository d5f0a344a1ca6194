import { execFileSync } from "node:child_process";
import { cp, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { TokenStats } from "../src/tokens/survey.ts";
import { createProject } from "./project.ts";
import type { Project } from "./project.ts";

// What `moxi train` counts before a run must be what the training program then trains on.

const root = resolve(import.meta.dirname, "..");
const names = ["otter", "heron", "lynx", "robin", "wolf"];
const rows = Array.from({ length: 60 }, (_, index) => {
  const name = `${names[index % names.length]} ${index}`;
  const sentences = index % 7 === 3 ? 30 : 2 + (index % 3);
  const output = Array.from({ length: sentences }, (__, at) => `The ${name} sees ${at} trees.`);
  return { instruction: `Tell of the ${name}.`, output: output.join(" ") };
});
const build = `
import json, sys
from pathlib import Path
from moxi_train.finetune import tiny
tiny.VOCABULARY = 400
rows = [{"messages": [{"role": "user", "content": r["instruction"]}, {"role": "assistant", "content": r["output"]}]} for r in json.load(sys.stdin)]
tiny.build(rows, Path(sys.argv[1]), seed=1)
`;

let project: Project;
beforeAll(async () => {
  project = await createProject();
  await mkdir(join(project.folder, "base"));
  const python = [join(root, "scripts/python.ts"), "-c", build, join(project.folder, "base")];
  execFileSync(process.execPath, python, {
    input: JSON.stringify(rows),
    env: { ...process.env, PYTHONPATH: join(root, "trainer") },
    stdio: ["pipe", "ignore", "ignore"],
  });
  await project.write("rows.jsonl", rows.map((row) => JSON.stringify(row)).join("\n"));
}, 120_000);
afterAll(() => project.remove());

const configure = (more: object) =>
  project.write(
    "moxi.config.json",
    JSON.stringify({ dataset: "rows.jsonl", model: "./base", epochs: 1, ...more }),
  );

async function counted(fingerprint: string): Promise<Omit<TokenStats, "problems">> {
  const file = join(project.folder, ".moxi", "data", fingerprint, "check.json");
  return (JSON.parse(await readFile(file, "utf8")) as { tokens: TokenStats }).tokens;
}

test("the trainer's rows, tokens and cuts are those that were told before", async () => {
  await configure({
    overlong: "truncate",
    maxSeqLength: 96,
    split: { evalFraction: 0.1 },
    generationTokens: 4,
    saveEverySteps: 1000,
    evalEverySteps: 1000,
  });
  const { code, stdout, stderr } = await project.moxi("train", "--json");
  expect(code, stderr).toBe(0);
  const events = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const decided = (name: string) =>
    events.find((event) => event["type"] === "decision" && event["name"] === name);
  const [run] = await readdir(join(project.folder, ".moxi", "runs"));
  const plan = JSON.parse(
    await readFile(join(project.folder, ".moxi", "runs", run!, "plan.json"), "utf8"),
  ) as { recipe: { dataset: { fingerprint: string } } };
  const told = await counted(plan.recipe.dataset.fingerprint);
  expect(told.limit).toBe(decided("max length")!["value"]);
  expect(told.sequences - told.kept).toBe(decided("rows dropped")!["value"]);
  const cut = /^(\d+) of (\d+) are longer than 96 tokens: (\d+) of them are cut/.exec(
    decided("rows dropped")!["reason"] as string,
  )!;
  expect(Number(cut[2])).toBe(told.sequences);
  expect(Number(cut[1])).toBeGreaterThan(3);
  const steps = events.filter((event) => event["type"] === "step");
  expect(steps.at(-1)!["tokens"]).toBe(told.tokens);
  expect(stdout).toContain("the answer is cut at the limit");
}, 300_000);

test("what the chat template refuses is told before anything starts, or left out", async () => {
  await cp(join(project.folder, "base"), join(project.folder, "refusing"), { recursive: true });
  const file = join(project.folder, "refusing", "chat_template.jinja");
  const template = await readFile(file, "utf8");
  await writeFile(
    file,
    `{% if messages[0].content is string and "otter" in messages[0].content %}{{ raise_exception("no otters") }}{% endif %}${template}`,
  );
  await configure({ model: "./refusing" });
  const runs = () => readdir(join(project.folder, ".moxi", "runs")).catch(() => []);
  const before = await runs();
  const refused = await project.moxi("train", "--dry-run", "--json");
  expect(refused.code).toBe(3);
  const { error } = JSON.parse(refused.stdout.trim().split("\n").at(-1)!) as {
    error: { code: string; message: string; details: string[]; place: object };
  };
  expect(error.code).toBe("E_DATASET_ROWS");
  const otters = rows.filter(({ instruction }) => instruction.includes("otter")).length;
  expect(error.message).toBe(`${otters} of 60 rows of rows.jsonl cannot be trained on`);
  expect(error.place).toMatchObject({ file: "rows.jsonl" });
  const skipped = await project.moxi("train", "--dry-run", "--json", "--skip-bad-rows");
  expect(skipped.code, skipped.stderr).toBe(0);
  expect(skipped.stdout).toContain(`${otters} of 60 rows were left out`);
  expect(await runs()).toEqual(before);
}, 120_000);
