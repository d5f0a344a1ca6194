// What TypeScript says of a row must be what the training program trains on, token for token.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { CanonicalRow } from "../../src/dataset/canonical.ts";
import { readFamilies } from "../../src/tokens/families.ts";
import type { Families } from "../../src/tokens/families.ts";
import { SampleMaker, TemplateDrops } from "../../src/tokens/sample.ts";
import { TokenSurvey } from "../../src/tokens/survey.ts";
import { TemplateRefusal } from "../../src/model/template.ts";
import { readTokenizer } from "../../src/model/tokenizer-files.ts";
import { corpus } from "./corpus.ts";

const root = resolve(import.meta.dirname, "../..");
const ignored = -100;

interface Rendered {
  readonly samples?: readonly (readonly [readonly number[], readonly number[]])[];
  readonly error?: string;
}
interface Result {
  readonly name: string;
  readonly family: string | null;
  readonly rows: readonly Rendered[];
  /** The limit asked for and what becomes of longer rows; the limit, sequences, tokens, learned. */
  readonly fitted: readonly (readonly [number | null, "drop" | "truncate", ...number[]])[];
}

const folder = mkdtempSync(join(tmpdir(), "moxi-agreement-"));
afterAll(() => rmSync(folder, { recursive: true }));

let rows: readonly CanonicalRow[];
let families: Families;
const results = new Map<string, Result>();
beforeAll(async () => {
  const lines = execFileSync(
    process.execPath,
    [join(root, "scripts/python.ts"), join(root, "test/tokens/render.py"), folder],
    {
      input: corpus()
        .map((row) => `${JSON.stringify(row)}\n`)
        .join(""),
      encoding: "utf8",
      maxBuffer: 1 << 30,
      env: { ...process.env, PYTHONPATH: join(root, "trainer/tests") },
      stdio: ["pipe", "pipe", "inherit"],
    },
  );
  for (const line of lines.trim().split("\n")) {
    const result = JSON.parse(line) as Result;
    results.set(result.name, result);
  }
  rows = JSON.parse(readFileSync(join(folder, "rows.json"), "utf8")) as CanonicalRow[];
  families = await readFamilies(join(root, "trainer/moxi_train/finetune/templates"));
}, 120_000);

const makers = new Map<string, SampleMaker>();

/** What makes a template's samples; each row's once, since every test asks for them. */
async function makerOf(name: string): Promise<SampleMaker> {
  const known = makers.get(name);
  if (known !== undefined) return known;
  const maker = new SampleMaker(await readTokenizer(join(folder, name), name), families);
  const make = maker.samples.bind(maker);
  const made = new Map<CanonicalRow, () => ReturnType<typeof make>>();
  maker.samples = (row) => {
    let give = made.get(row);
    if (give === undefined) {
      try {
        const samples = make(row);
        give = () => samples;
      } catch (error) {
        give = () => {
          throw error;
        };
      }
      made.set(row, give);
    }
    return give();
  };
  makers.set(name, maker);
  return maker;
}

function render(maker: SampleMaker, row: CanonicalRow): Rendered {
  try {
    const samples = maker.samples(row).map(({ ids, learned }) => {
      const labels = ids.map(() => ignored);
      for (const [from, to] of learned) {
        for (let at = from; at < to; at++) labels[at] = ids[at]!;
      }
      return [ids, labels] as const;
    });
    return { samples };
  } catch (error) {
    if (error instanceof TemplateDrops) return { error: "template-drops" };
    if (error instanceof TemplateRefusal) return { error: "template-refused" };
    throw error;
  }
}

const templates = readFileSync(join(root, "test/tokens/cases.txt"), "utf8").trim().split("\n");

describe("tokens and labels are the training program's", () => {
  test("with every template of its tests", () => {
    expect([...results.keys()].sort()).toEqual([...templates].sort());
  });

  test.each(templates)("%s", async (name) => {
    const { family, rows: wanted } = results.get(name)!;
    const maker = await makerOf(name);
    expect(maker.chat.family?.name ?? null).toBe(family);
    let exact = 0;
    for (const [index, row] of rows.entries()) {
      const got = render(maker, row);
      expect(got, JSON.stringify(row)).toEqual(wanted[index]);
      if (got.samples !== undefined) exact += 1;
    }
    // Most rows can be written by every template.
    expect(exact).toBeGreaterThan(rows.length / 2);
  });

  test.each(templates)("%s: what the limit leaves of the rows", async (name) => {
    const maker = await makerOf(name);
    for (const [wanted, overlong, ...counts] of results.get(name)!.fitted) {
      const maxSeqLength = wanted ?? undefined;
      const survey = new TokenSurvey(maker, { maxSeqLength, overlong });
      for (const [index, canonical] of rows.entries()) {
        const place = { index, file: "rows", line: index + 1, row: index + 1 };
        survey.add({ ...place, form: { kind: "chat", field: "messages" }, value: {}, canonical });
      }
      const { limit, kept, tokens, learned } = survey.finish();
      expect([limit, kept, tokens, learned], `${wanted} ${overlong}`).toEqual(counts);
    }
  });
});
