import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { canonicalRow } from "./canonical.ts";
import { RowProblem } from "./problem.ts";

interface Vector {
  readonly name: string;
  readonly row: unknown;
  readonly groupBy?: string;
  readonly canonical?: unknown;
  readonly error?: { readonly field: string; readonly reason: string };
}

const file = new URL("../../schema/vectors/rows.json", import.meta.url);
const vectors = JSON.parse(readFileSync(file, "utf8")) as Vector[];

test.each(vectors)("$name", (vector) => {
  expect(outcome(vector)).toEqual(
    vector.error === undefined ? { canonical: vector.canonical } : { error: vector.error },
  );
});

function outcome({ row, groupBy }: Vector) {
  try {
    return { canonical: canonicalRow(row, groupBy) };
  } catch (error) {
    if (!(error instanceof RowProblem)) throw error;
    return { error: { field: error.field, reason: error.reason } };
  }
}

test("names the field that was probably meant", () => {
  expect(() => canonicalRow({ instruction: "Go.", ouput: "ok" })).toThrow(/it has "ouput"/);
  expect(() => canonicalRow({ messages: [{ role: "asistant", content: "Hi" }] })).toThrow(
    'messages[0].role is "asistant": did you mean "assistant"?',
  );
});

test("a hostile row changes no prototype", () => {
  canonicalRow(JSON.parse('{"text":"ok","__proto__":{"polluted":1}}'), "__proto__x");
  expect(({} as { polluted?: number }).polluted).toBeUndefined();
});
