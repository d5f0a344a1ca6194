import { expect, test } from "vitest";
import { maskSecrets } from "./mask.ts";
import type { Segment } from "./segments.ts";

const value = "a8Kd03jLmQ2xVb7TzR4wYc9NeUf6HsGp1Xo5";
const github = ["ghp_", value].join("");
const aws = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzzzzzzzKEY";
const key = [
  "-----BEGIN RSA PRIVATE",
  " KEY-----\n",
  `MIIEpAIBAAKCAQEA7b${value}\n`.repeat(3),
  "-----END RSA PRIVATE",
  " KEY-----",
];
const segment = (text: string): Segment => ({
  text,
  learned: true,
  cut: false,
  control: false,
  tokens: text.length,
});

test.each([
  ["one kind", [`Use ${github} there.`], ["Use [a secret: github] there."]],
  ["two of them", [`${github} and ${github}`], ["[a secret: github] and [a secret: github]"]],
  ["a key of several lines", [`a\n${key.join("")}\nb`], ["a\n[a secret: privatekey]\nb"]],
  [
    "one that is cut, and what lies behind the cut",
    [`Use ${github.slice(0, 20)}`, github.slice(20, 30), `${github.slice(30)} there.`],
    ["Use [a secret: github]", "", " there."],
  ],
])("%s", (_, texts, shown) => {
  const masked = maskSecrets(texts.map(segment));
  expect(masked.segments.map(({ text }) => text)).toEqual(shown);
  expect(masked.secrets).toHaveLength(1);
  // What is counted stays as it is.
  expect(masked.segments.map(({ tokens }) => tokens)).toEqual(texts.map(({ length }) => length));
});

test("the value of a key whose name comes first is hidden to its end", () => {
  for (const blanks of [" = ", `${" ".repeat(30)}= `]) {
    const { segments } = maskSecrets([segment(`aws_secret_access_key${blanks}${aws}\nSo be it.`)]);
    for (let at = 0; at + 8 <= aws.length; at++) {
      expect(segments[0]!.text).not.toContain(aws.slice(at, at + 8));
    }
    expect(segments[0]!.text).toContain("\nSo be it.");
  }
});

test("a row without secrets stays as it is", () => {
  const segments = [
    segment("Use ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx of the docs, at https://example.org"),
  ];
  expect(maskSecrets(segments)).toEqual({ segments, secrets: [] });
});
