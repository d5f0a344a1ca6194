import { expect, test } from "vitest";
import { fit, labelled, padEnd, padStart, width, wrap } from "./text.ts";

test("wide characters take two columns, colours none", () => {
  expect(width("naïve")).toBe(5);
  expect(width("日本")).toBe(4);
  expect(width("\u001b[31mred\u001b[39m")).toBe(3);
  expect(padEnd("日本", 6)).toBe("日本  ");
  expect(padStart("日本", 6)).toBe("  日本");
});

test("a text that is too wide ends in an ellipsis and takes no more than its columns", () => {
  expect(fit("abcdef", 6)).toBe("abcdef");
  expect(fit("abcdefg", 6)).toBe("abcde…");
  expect(width(fit("日本語日本語", 6))).toBeLessThanOrEqual(6);
  expect(fit(`ab ${"━".repeat(9)} cd`, 8)).toBe("ab ━━━━…");
  expect(fit("👩‍👩‍👧‍👧👩‍👩‍👧‍👧👩‍👩‍👧‍👧", 4)).toBe("👩‍👩‍👧‍👧…");
  expect(fit("abcdefg", Infinity)).toBe("abcdefg");
});

test("wrap breaks between words, keeps line breaks and indents, and cuts what is longer than a line", () => {
  expect(wrap("the quick brown fox", 10)).toEqual(["the quick", "brown fox"]);
  expect(wrap("one\n\n  two", 10)).toEqual(["one", "", "  two"]);
  expect(wrap("abcdefghijkl mn", 5)).toEqual(["abcde", "fghij", "kl mn"]);
  for (const line of wrap("日本語日本語日本語 x", 5)) expect(width(line)).toBeLessThanOrEqual(5);
  expect(wrap("", 10)).toEqual([""]);
});

test("a labelled text hangs below its first line", () => {
  expect(labelled("  fix  ", "run the very same command again now", 27)).toEqual([
    "  fix  run the very same",
    "       command again now",
  ]);
});
