import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readDataset } from "../../src/dataset/canonical-rows.ts";
import { checkDataset } from "../../src/dataset/check.ts";

// Parquet as pyarrow writes it, in every packing that it has: its rows are those of the JSON Lines.

const root = resolve(import.meta.dirname, "../..");
const folder = mkdtempSync(join(tmpdir(), "moxi-parquet-"));
afterAll(() => rmSync(folder, { recursive: true }));

const write = `
import json, sys
import pyarrow as pa
import pyarrow.parquet as pq
from pathlib import Path
folder = Path(sys.argv[1])
for name in ("chat", "table"):
    rows = [json.loads(line) for line in open(folder / f"{name}.jsonl", encoding="utf-8")]
    table = pa.Table.from_pylist(rows)
    for packing in ("none", "snappy", "gzip", "zstd", "brotli", "lz4"):
        for version in ("1.0", "2.0"):
            pq.write_table(
                table,
                folder / f"{name}-{packing}-{version}.parquet",
                compression=packing,
                row_group_size=100,
                data_page_version=version,
                use_dictionary=version == "1.0",
            )
`;
const packings = ["none", "snappy", "gzip", "zstd", "brotli", "lz4"];
const said = (index: number) =>
  `Row ${index}: \u00e9\u4e2d\u{1f600} "quoted"\n${"word ".repeat(index % 40)}`;
const sets: Record<string, object[]> = {
  chat: Array.from({ length: 250 }, (_, index) => ({
    messages: [
      ...(index % 3 === 0 ? [{ role: "system", content: "Be kind." }] : []),
      { role: "user", content: said(index) },
      { role: "assistant", content: `Answer ${index}.`, ...(index % 5 === 0 ? { weight: 1 } : {}) },
    ],
    group: `g${index % 10}`,
  })),
  table: Array.from({ length: 250 }, (_, index) => ({
    question: said(index),
    answer: `Answer ${index}.`,
    score: index / 8,
    count: index,
    good: index % 2 === 0,
    ...(index % 4 === 0 ? { note: "yes" } : {}),
  })),
};

beforeAll(() => {
  for (const [name, rows] of Object.entries(sets)) {
    const lines = rows.map((row) => `${JSON.stringify(row)}\n`).join("");
    writeFileSync(join(folder, `${name}.jsonl`), lines);
  }
  execFileSync(process.execPath, [join(root, "scripts/python.ts"), "-c", write, folder]);
}, 120_000);

async function rowsOf(path: string) {
  const rows: unknown[] = [];
  for await (const { canonical, row, problem } of readDataset({ path, cwd: folder })) {
    rows.push({ canonical, row, problem });
  }
  return rows;
}

test.each(
  Object.keys(sets).flatMap((name) =>
    packings.flatMap((packing) => ["1.0", "2.0"].map((version) => [name, packing, version])),
  ),
)("%s rows packed with %s, pages of version %s", async (name, packing, version) => {
  const file = `${name}-${packing}-${version}.parquet`;
  expect(await rowsOf(file)).toEqual(await rowsOf(`${name}.jsonl`));
  const check = await checkDataset({ path: file, cwd: folder });
  const like = await checkDataset({ path: `${name}.jsonl`, cwd: folder });
  expect(check.rows).toEqual({ total: 250, usable: 250 });
  expect(check.format).toBe(like.format.replace("JSON Lines", "Parquet"));
  expect(check.stats).toEqual({ ...like.stats, bytes: check.stats.bytes });
  const counts = ({ problems }: typeof check) => problems.map(({ code, count }) => [code, count]);
  expect(counts(check)).toEqual(counts(like));
});
