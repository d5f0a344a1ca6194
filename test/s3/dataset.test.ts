import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { gzipSync } from "node:zlib";
import { createContext } from "../../src/api/context.ts";
import { dataCheck } from "../../src/api/data-check.ts";
import { dataFix } from "../../src/api/data-fix.ts";
import { dataSplit } from "../../src/api/data-split.ts";
import { upload } from "../../src/storage/upload.ts";
import { kinds, startServer } from "./server.ts";
import type { S3Server } from "./server.ts";
import { createDesk } from "./setup.ts";
import type { Desk } from "./setup.ts";

// A dataset in a bucket is read as one on the disk is.

const rows = Array.from({ length: 60 }, (_, index) => ({
  question: `What is ${index}?`,
  answer: `It is ${index}.`,
}));
const all = { recursive: true, encoding: "utf8" } as const;
const lines = rows.map((row) => `${JSON.stringify(row)}\n`).join("");

describe.each(kinds)("%s", (kind) => {
  let server: S3Server;
  let desk: Desk;
  let cwd: string;
  const context = () =>
    createContext({
      cwd,
      env: desk.env(),
      home: desk.folder,
      host: { notify: (notice) => void desk.notices.push(notice) },
    });

  beforeAll(async () => {
    server = await startServer(kind);
    desk = createDesk(server);
    cwd = desk.path("project");
    mkdirSync(cwd);
    const put = (name: string, content: string | Uint8Array) => {
      writeFileSync(join(desk.folder, name), content);
      return join(desk.folder, name);
    };
    const files = [
      { path: put("one", lines), key: "sets/faq.jsonl" },
      { path: put("two", gzipSync(lines)), key: "sets/many/b.jsonl.gz" },
      { path: put("three", JSON.stringify(rows.slice(0, 7))), key: "sets/many/deep/a.json" },
      { path: put("four", "hello"), key: "sets/many/notes.txt" },
      { path: put("five", lines), key: "sets/many-more/c.jsonl" },
      { path: put("six", lines), key: "sets/alike/A.jsonl" },
      { path: put("seven", lines), key: "sets/alike/a.jsonl" },
    ];
    await upload(await desk.aws(), files, { ...desk.options, ifAbsent: true });
  });
  afterAll(() => {
    desk?.close();
    server?.stop();
  });

  test("one object", async () => {
    const check = await dataCheck(context(), { path: "s3://moxi-test/sets/faq.jsonl" });
    expect(check.rows).toEqual({ total: 60, usable: 60 });
    expect(check.format).toBe("question and answer rows in JSON Lines");
    expect(check.problems).toEqual([]);
  });

  test("a prefix is a folder, and no other that begins like it", async () => {
    const check = await dataCheck(context(), { path: "s3://moxi-test/sets/many/" });
    expect(check.files.map(({ rows: count, layout }) => [count, layout.container])).toEqual([
      [60, "lines"],
      [7, "array"],
    ]);
    expect(check.problems.map(({ code, count }) => [code, count])).toEqual([
      ["duplicate", 7],
      ["not-read", 1],
    ]);
  });

  test("two objects that some disks take for one are refused", async () => {
    await expect(dataCheck(context(), { path: "s3://moxi-test/sets/alike" })).rejects.toMatchObject(
      {
        code: "E_FILE_NAME",
        message: 'the objects "alike/a.jsonl" and "alike/A.jsonl" would lie at one place',
      },
    );
    const fetched = existsSync(join(cwd, ".moxi")) ? readdirSync(join(cwd, ".moxi"), all) : [];
    expect(fetched.filter((name) => name.includes("alike"))).toEqual([]);
  });

  test("new files of it lie where the command was given", async () => {
    const { trainFile, evalFile } = await dataSplit(context(), {
      path: "s3://moxi-test/sets/faq.jsonl",
    });
    expect([trainFile, evalFile]).toEqual([
      join(cwd, "faq.train.jsonl"),
      join(cwd, "faq.eval.jsonl"),
    ]);
    const { file, rows: count } = await dataFix(context(), {
      path: "s3://moxi-test/sets/faq.jsonl",
    });
    expect([file, count.kept]).toEqual([join(cwd, "faq.fixed.jsonl"), 60]);
  });

  test.each([
    ["s3://moxi-test/sets/none.jsonl", "E_DATASET_MISSING"],
    ["s3://moxi-test/sets/faq", "E_DATASET_MISSING"],
    ["s3://no-such-bucket/sets/faq.jsonl", "E_S3_BUCKET"],
    ["s3://moxi-test", "E_CONFIG_INVALID"],
  ])("%s is refused", async (path, code) => {
    await expect(dataCheck(context(), { path })).rejects.toMatchObject({ code });
  });
});
