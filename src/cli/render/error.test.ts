import { expect, test } from "vitest";
import { MoxiError } from "../../base/errors.ts";
import { createStyle } from "../terminal.ts";
import { errorLines, placeText } from "./error.ts";

const options = { columns: 60, style: createStyle(false) };

test("an error tells what happened, where, each detail, what mends it, and its code", () => {
  const error = new MoxiError("E_DATASET_ROWS", "2 of 1,240 rows cannot be trained on", {
    place: { file: "data/train.jsonl", line: 12, column: 5, row: 12, field: "output" },
    details: ["row 12: output is missing", "row 40: output is a number"],
    hint: "mend these rows, then run the same command again: it starts from the beginning",
  });
  expect(errorLines(error, options)).toEqual([
    "error  2 of 1,240 rows cannot be trained on",
    "   at  data/train.jsonl:12:5, row 12, field output",
    "       row 12: output is missing",
    "       row 40: output is a number",
    "  fix  mend these rows, then run the same command again: it",
    "       starts from the beginning",
    " code  E_DATASET_ROWS",
  ]);
});

test("foreign text in an error cannot move the cursor or change the colours", () => {
  const error = new MoxiError("E_DATASET_ROWS", "row \u001b[2J", { place: { file: "a\u0007b" } });
  const text = errorLines(error, options).join("\n");
  expect(text).toContain("row \\u001b[2J");
  expect(text).toContain("a\\u0007b");
});

test("a place is written as editors link it", () => {
  expect(placeText({ file: "a.ts" })).toBe("a.ts");
  expect(placeText({ file: "a.ts", line: 3 })).toBe("a.ts:3");
  expect(placeText({ line: 3, column: 1 })).toBe("line 3:1");
  expect(placeText({ field: "run-id" })).toBe("field run-id");
});

test("a command that mends it stays whole, however narrow the terminal; other problems follow", () => {
  const command = `aws iam put-user-policy --policy-document '{"Version":"2012-10-17","Statement":[]}'`;
  const error = new MoxiError("E_AWS_DENIED", "user/lee may not iam:PassRole", {
    hint: "somebody who manages the account types this:",
    command,
    others: [{ message: "there is no bucket b", command: "aws s3 mb s3://b" }],
  });
  expect(errorLines(error, { ...options, columns: 40 })).toEqual([
    "error  user/lee may not iam:PassRole",
    "  fix  somebody who manages the account",
    "       types this:",
    `       ${command}`,
    " also  there is no bucket b",
    "  fix  aws s3 mb s3://b",
    " code  E_AWS_DENIED",
  ]);
});
