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
