import { expect, test } from "vitest";
import { asTyped } from "./words.ts";

test.each([
  ["moxi pull a; moxi show a", "npx moxi pull a; npx moxi show a"],
  ["wait, or end it with moxi stop (a checkpoint is kept)", "npx moxi stop"],
  ["npx moxi train starts one", "npx moxi train starts one"],
  [
    "moxi-train is a folder, moxi training is none",
    "moxi-train is a folder, moxi training is none",
  ],
  ["moxi --help lists the commands", "npx moxi --help lists the commands"],
])("%j is typed %j", (advice, typed) => {
  expect(asTyped(advice)).toContain(typed);
  expect(asTyped(asTyped(advice))).toBe(asTyped(advice));
});
