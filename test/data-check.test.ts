import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createProject } from "./project.ts";
import type { Project } from "./project.ts";

let project: Project;
beforeAll(async () => void (project = await createProject()));
afterAll(() => project.remove());

const rows = Array.from({ length: 60 }, (_, i) => ({
  prompt: `What is ${i}?`,
  completion: `It is ${i}.`,
}));
const lines = rows.map((row) => JSON.stringify(row)).join("\n");
const secret = ["ghp_", "a8Kd03jLmQ2xVb7TzR4wYc9NeUf6HsGp1Xo5"].join("");

test("a sound dataset: exit 0, and one object for programs", async () => {
  await project.write("ok.jsonl", lines);
  const { code, stdout } = await project.moxi("data", "check", "ok.jsonl");
  expect([code, stdout]).toEqual([
    0,
    expect.stringContaining("✓ 0 errors, 0 warnings; 60 of 60 rows"),
  ]);
  const json = await project.moxi("data", "check", "ok.jsonl", "--json");
  expect(JSON.parse(json.stdout)).toMatchObject({
    formatVersion: 1,
    form: "columns",
    rows: { total: 60, usable: 60 },
    problems: [],
    stats: { bytes: lines.length },
  });
});

test("errors: exit 3, places for people, programs and code scanning, and no secret", async () => {
  const bad = [
    lines,
    '{"prompt":"a","completion":""}',
    `{"prompt":"b","completion":"Use ${secret}."}`,
  ];
  await project.write("bad.jsonl", bad.join("\n"));
  const people = await project.moxi("data", "check", "bad.jsonl");
  expect(people.code).toBe(3);
  expect(people.stdout).toContain(
    "✗ 1 row: the answer is empty or blank  [empty-answer]\n    bad.jsonl:61 completion is empty\n",
  );
  expect(people.stdout).toContain("✗ 2 errors, 0 warnings; 60 of 62 rows can be trained on");
  const json = await project.moxi("data", "check", "bad.jsonl", "--json");
  expect(json.code).toBe(3);
  const report = JSON.parse(json.stdout) as { problems: unknown[] };
  expect(report.problems).toContainEqual(
    expect.objectContaining({
      code: "secret",
      severity: "error",
      count: 1,
      places: [
        { file: "bad.jsonl", line: 62, row: 62, field: "completion", detail: "of the kind github" },
      ],
    }),
  );
  const sarif = await project.moxi("data", "check", "bad.jsonl", "--sarif");
  const [run] = (JSON.parse(sarif.stdout) as { runs: { results: { ruleId: string }[] }[] }).runs;
  expect(run!.results.map(({ ruleId }) => ruleId).sort()).toEqual(["empty-answer", "secret"]);
  for (const { stdout, stderr } of [people, json, sarif])
    expect(stdout + stderr).not.toContain(secret.slice(8, 20));
});

test("--max-places: so many places of each rule, or all", async () => {
  await project.write("empty.jsonl", '{"prompt":"a","completion":""}\n'.repeat(20));
  const places = async (...more: string[]) => {
    const { stdout } = await project.moxi("data", "check", "empty.jsonl", "--json", ...more);
    const { problems } = JSON.parse(stdout) as {
      problems: { code: string; count: number; places: unknown[] }[];
    };
    const found = problems.find(({ code }) => code === "empty-answer")!;
    return [found.count, found.places.length];
  };
  expect(await places()).toEqual([20, 5]);
  expect(await places("--max-places", "7")).toEqual([20, 7]);
  expect(await places("--max-places", "all")).toEqual([20, 20]);
  expect((await project.moxi("data", "check", "empty.jsonl", "--max-places", "few")).code).toBe(2);
});

test("what is no dataset: exit 2, and an object for programs", async () => {
  for (const path of ["none.jsonl", "/dev/zero"]) {
    const { code, stdout } = await project.moxi("data", "check", path, "--json");
    expect(code).toBe(2);
    expect(JSON.parse(stdout)).toMatchObject({ type: "error", error: { exitCode: 2 } });
  }
});

test("train refuses errors before anything starts, and goes on without the rows when told to", async () => {
  await project.write("some.jsonl", `${lines}\n{"prompt":"a","completion":""}`);
  const { code, stdout } = await project.moxi("train", "--dataset", "some.jsonl", "--json");
  expect(code).toBe(3);
  expect(JSON.parse(stdout.trim().split("\n").at(-1)!)).toMatchObject({
    type: "error",
    error: {
      code: "E_DATASET_ROWS",
      message: expect.stringMatching(
        /^1 of 61 rows of .*some\.jsonl cannot be trained on$/,
      ) as string,
    },
  });
  expect(readdirSync(project.folder)).not.toContain(".moxi");
});

test("fix leaves the dataset as it is", async () => {
  await project.write("fix.jsonl", `${lines}\n${JSON.stringify(rows[0])}`);
  const { code, stdout } = await project.moxi("data", "fix", "fix.jsonl");
  expect([code, stdout]).toEqual([
    0,
    "fix.fixed.jsonl: 60 rows; 1 left out, 0 mended\nfix.fixed.jsonl.diff tells which and why; the dataset itself is as it was\n",
  ]);
  expect(readFileSync(join(project.folder, "fix.fixed.jsonl"), "utf8")).toBe(`${lines}\n`);
  expect((await project.moxi("data", "fix", "fix.jsonl")).code).toBe(2);
});

test("rules, levels and columns are settings", async () => {
  await project.write(
    "odd.jsonl",
    lines.replaceAll('"prompt"', '"frage"').replaceAll('"completion"', '"antwort"'),
  );
  expect((await project.moxi("data", "check", "odd.jsonl")).code).toBe(3);
  const mapped = await project.moxi(
    "data",
    "check",
    "odd.jsonl",
    "--columns-prompt",
    "frage",
    "--columns-completion",
    "antwort",
  );
  expect([mapped.code, mapped.stdout]).toEqual([
    0,
    expect.stringContaining("frage → prompt, antwort → completion"),
  ]);
  const wrong = await project.moxi("data", "check", "odd.jsonl", "--rules", "duplicat=off");
  expect([wrong.code, wrong.stderr]).toEqual([
    2,
    expect.stringContaining("did you mean duplicate?"),
  ]);
});

test("data show: a row of another file, and no value of a secret", async () => {
  await project.write("told.jsonl", `${lines}\n{"prompt":"b","completion":"Use ${secret}."}`);
  const people = await project.moxi("data", "show", "61", "told.jsonl");
  expect(people.code).toBe(0);
  expect(people.stdout).toContain("+ Use [a secret: github].\n");
  expect(people.stdout).toContain("values of the kind github are not shown");
  const json = await project.moxi("data", "show", "61", "told.jsonl", "--json");
  expect(JSON.parse(json.stdout)).toMatchObject({ sequences: [{ secrets: ["github"] }] });
  for (const { stdout, stderr } of [people, json])
    expect(stdout + stderr).not.toContain(secret.slice(8, 20));
  const first = await project.moxi("data", "show", "told.jsonl");
  expect([first.code, first.stderr]).toEqual([2, expect.stringContaining("data show 12 FILE")]);
});

test("data convert tells five kinds of losses, or as many as asked for", async () => {
  const odd = rows.map((row, i) => JSON.stringify({ ...row, [`field-${i % 8}`]: i }));
  await project.write("odd.jsonl", odd.join("\n"));
  const losses = async (out: string, ...more: string[]) => {
    const args = ["odd.jsonl", "--to", "chat", "--out", out, ...more];
    const { stdout } = await project.moxi("data", "convert", ...args);
    return [stdout.match(/^lost of /gm)?.length, /^and .*$/m.exec(stdout)?.[0]];
  };
  expect(await losses("five.jsonl")).toEqual([5, "and 3 more losses: --max-places all"]);
  expect(await losses("two.jsonl", "--max-places", "2")).toEqual([
    2,
    "and 6 more losses: --max-places all",
  ]);
  expect(await losses("all.jsonl", "--max-places", "all")).toEqual([8, undefined]);
});

test.each([
  ["fix", ["--columns-prompt", "--rules"]],
  ["convert", ["--columns-prompt", "--skip-bad-rows"]],
  ["split", ["--columns-prompt", "--split-eval-fraction"]],
])("data %s takes the settings that act on it alone", async (command, own) => {
  const { stdout } = await project.moxi("data", command, "--help");
  for (const flag of own) expect(stdout).toContain(`  ${flag} `);
  for (const flag of ["--epochs", "--model", "--instance", "--lora-rank"]) {
    expect(stdout).not.toContain(flag);
  }
  expect((await project.moxi("data", command, "--epochs", "2")).code).toBe(2);
});

test("the name of a file is told on one line", async () => {
  await project.write("two\nlines\u001b[31m.jsonl", lines);
  const checked = await project.moxi("data", "check", "two\nlines\u001b[31m.jsonl");
  expect(checked.stdout).toContain("two\\nlines\\u001b[31m.jsonl: ");
  const missing = await project.moxi("data", "check", "no\nlines.jsonl");
  expect(missing.stderr).toContain("no\\nlines.jsonl");
  const split = await project.moxi("data", "split", "two\nlines\u001b[31m.jsonl");
  expect(split.stdout).toContain("two\\nlines\\u001b[31m.train.jsonl: ");
});
