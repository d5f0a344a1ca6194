import { basename, resolve } from "node:path";
import { plural, printableName } from "../base/format.ts";
import { isRecord } from "../base/json.ts";
import { checkDataset } from "./check.ts";
import type { CheckOptions } from "./check.ts";
import { goOn, refuseExisting, writeNewFiles } from "./new-files.ts";
import { rowsEnding } from "./read/files.ts";
import { readRows } from "./read/rows.ts";
import { Source } from "./read/source.ts";
import { exactValue } from "./row-line.ts";

export interface FixOptions extends CheckOptions {
  /** The new file, absolute. Default: beside the dataset, with `.fixed.jsonl` at its end. */
  readonly out?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface FixResult {
  /** Absolute. */
  readonly file: string;
  /** Absolute: what was changed, for people. */
  readonly diffFile: string;
  readonly rows: {
    readonly total: number;
    readonly kept: number;
    readonly dropped: number;
    readonly mended: number;
  };
}

/** What the new file is called, if nothing else is said. */
export function fixedName(path: string): string {
  return `${path.replace(rowsEnding, "")}.fixed.jsonl`;
}

/** Invisible and turning characters that mean nothing where they stand: taking them out is safe. */
const invisible = /[\u200b\u2060-\u2064\u180e\ufeff\u202a-\u202e\u2066-\u2069]/g;
// oxlint-disable-next-line no-control-regex -- these are what is taken out
const controls = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g;

/**
 * Writes the rows anew as JSON Lines and in their own form: without those that have an error or are
 * the same as an earlier row, and without control and invisible characters. Beside it a diff tells
 * each change with its line and reason; values of secrets are in neither. Nothing is overwritten.
 *
 * @throws MoxiError E_USAGE if the new file is there already; and all that a check throws
 */
export async function fixDataset(options: FixOptions): Promise<FixResult> {
  const from = resolve(options.cwd, options.path);
  const file = options.out ?? fixedName(from);
  const diffFile = `${file}.diff`;
  refuseExisting([file, diffFile]);
  const check = await checkDataset({ ...options, evalPath: undefined, maxPlaces: Infinity });
  const { reasons, drops } = reasonsOf(check);
  let [index, kept, mended] = [0, 0, 0];
  await writeNewFiles([file, diffFile], async ([rows, diff]) => {
    await diff!.write(`--- ${printableName(basename(from))}\n+++ ${printableName(basename(file))}`);
    for (const { path, name, layout } of check.files) {
      const source = await Source.open(path, options.cwd, name);
      try {
        for await (const batch of readRows(source, layout, { tolerant: true })) {
          goOn(options.signal);
          for (const { value, text, row, line } of batch.rows) {
            const key = `${name} ${row}`;
            const bad = check.isBad(index) || drops.has(key) || !isRecord(value);
            index += 1;
            if (bad) {
              const why = reasons.get(key) ?? "an error";
              await diff!.write(`@@ ${name}:${line} row ${row}\n- the whole row: ${why}`);
              continue;
            }
            const clean = cleaned(text === undefined ? value : exactValue(value, text));
            if (clean.count > 0) {
              mended += 1;
              const places = `${plural(clean.count, "character")}`;
              const what = `~ took out ${places} that cannot be seen: ${clean.kinds}`;
              await diff!.write(`@@ ${name}:${line} row ${row}\n${what}`);
            }
            kept += 1;
            await rows!.write(JSON.stringify(clean.value));
          }
        }
      } finally {
        await source.close();
      }
    }
  });
  return { file, diffFile, rows: { total: index, kept, dropped: index - kept, mended } };
}

/** Why each row with a place is dropped, and the rows that go although they have no error. */
function reasonsOf(check: Awaited<ReturnType<typeof checkDataset>>) {
  const reasons = new Map<string, string>();
  const drops = new Set<string>();
  for (const { code, severity, cause, places } of check.problems) {
    if (severity !== "error" && code !== "duplicate") continue;
    for (const { file, row, field } of places) {
      const key = `${file} ${row}`;
      if (code === "duplicate") drops.add(key);
      const why = `${cause}${field === undefined ? "" : ` (${field})`}`;
      reasons.set(key, reasons.has(key) ? `${reasons.get(key)}; ${why}` : why);
    }
  }
  return { reasons, drops };
}

interface Cleaned {
  readonly value: unknown;
  readonly count: number;
  readonly kinds: string;
}

function cleaned(value: unknown): Cleaned {
  let count = 0;
  const kinds = new Set<string>();
  const takeOut = (character: string) => {
    count += 1;
    kinds.add(`U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}`);
    return "";
  };
  const walk = (item: unknown): unknown => {
    if (typeof item === "string")
      return item.replace(invisible, takeOut).replace(controls, takeOut);
    if (Array.isArray(item)) return item.map(walk);
    if (!isRecord(item) || JSON.isRawJSON(item)) return item;
    const copy: Record<string, unknown> = {};
    for (const [key, entry] of Object.entries(item)) {
      Object.defineProperty(copy, key, {
        value: walk(entry),
        enumerable: true,
        configurable: true,
      });
    }
    return copy;
  };
  return { value: walk(value), count, kinds: [...kinds].join(", ") };
}
