import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { load } from "./config.ts";
import { createContext } from "./context.ts";
import { prepareRows } from "./prepare-rows.ts";

const folder = mkdtempSync(join(tmpdir(), "moxi-prepare-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("unchanged rows are checked once, and their warnings are told each time", async () => {
  const rows = Array.from({ length: 20 }, (_, row) => ({ prompt: `${row}`, completion: "yes" }));
  writeFileSync(join(folder, "rows.json"), JSON.stringify(rows));
  const prepared = async (flags: Readonly<Record<string, unknown>> = {}, code = "a") => {
    const told: string[] = [];
    const context = createContext({
      cwd: folder,
      home: folder,
      env: {},
      // By then the file has been left alone for long.
      clock: { now: () => new Date(Date.now() + 60_000), sleep: () => Promise.resolve() },
      host: { notify: ({ text }) => void told.push(text) },
    });
    const loaded = await load(context, { dataset: "rows.json", ...flags });
    const { dataset } = await prepareRows(context, loaded, join(folder, "out"), undefined, code);
    return { dataset, told, known: told.some((text) => text.includes("unchanged since")) };
  };
  const first = await prepared();
  expect(first.known).toBe(false);
  const second = await prepared();
  expect(second.known).toBe(true);
  expect(second.dataset).toEqual(first.dataset);
  expect(second.told[0]).toContain("19 rows to train on, 1 held out (prompt and completion rows");
  expect(second.told.slice(1)).toEqual(first.told.slice(1));
  expect(second.told.length).toBeGreaterThan(1);
  expect((await prepared({ overlong: "error" })).known).toBe(false);
  expect((await prepared({}, "b")).known).toBe(false);
});
