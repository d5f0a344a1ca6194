import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { canonicalRow } from "../../src/dataset/canonical.ts";
import { buildRows } from "./build.ts";

const folder = mkdtempSync(join(tmpdir(), "moxi-example-"));
afterAll(() => rmSync(folder, { recursive: true }));

function write(path: string, text: string) {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), text);
}

const filler = "This sentence says something useful of the package in plain words.\n";

test("makes rows of a package: the whole README and its sections, cleaned", () => {
  const readme = `<h1 align="center">Tidy ✨</h1>

[![npm](https://img.shields.io/npm/v/tidy)](https://npm.im/tidy) <!-- badges -->
![logo](logo.png)

Tidies [all things][docs]. See <a href="https://x.test">the page</a>.

Usage
-----

${filler.repeat(3)}
\`\`\`js
// # not a heading
tidy("<b>[kept](as it is)</b>");
\`\`\`

# License

${filler.repeat(5)}
## Keys

-----BEGIN KEY-----

${filler.repeat(12)}
## Short

MIT

[docs]: https://docs.test
`;
  const manifest = {
    name: "tidy",
    description: "Tidies",
    type: "module",
    types: "x.d.ts",
    bin: "x",
  };
  write("a/tidy/package.json", JSON.stringify(manifest));
  write("a/tidy/readme.md", readme);
  write("a/tidy/src/one.js", "");
  write("a/tidy/node_modules/@deep/tidy/package.json", '{"name":"@deep/tidy"}');
  write("a/tidy/node_modules/@deep/tidy/README.md", `# Deep\n\n${filler.repeat(4)}`);
  write("a/broken/package.json", "{");
  write("a/broken/README.md", readme);

  const usage = `## Usage

${filler.repeat(3)}
\`\`\`js
// # not a heading
tidy("<b>[kept](as it is)</b>");
\`\`\``;
  const input = {
    project_type: "TypeScript CLI, ESM",
    description: "Tidies",
    file_tree: "tidy/\n  package.json\n  src/\n    one.js",
  };
  const [whole, section, deep, ...rest] = buildRows(join(folder, "a"));
  expect(section).toEqual({
    instruction: 'Write the "Usage" section of the README of this npm package.',
    input,
    content: usage,
    package: "tidy",
  });
  expect(whole).toMatchObject({ instruction: "Write the README of this npm package.", input });
  expect(whole?.content).toMatch(/^# Tidy\n\nTidies all things. See the page.\n\n## Usage\n/);
  expect(deep).toMatchObject({
    package: "@deep/tidy",
    input: { project_type: "JavaScript library, CommonJS" },
  });
  expect(rest).toEqual([]);
});

test("the packages installed here give hundreds of rows that can be trained on", () => {
  const nodeModules = fileURLToPath(new URL("../../node_modules", import.meta.url));
  const rows = buildRows(nodeModules);
  expect(rows.length).toBeGreaterThan(300);
  expect(new Set(rows.map((row) => row.package)).size).toBeGreaterThan(50);
  expect(new Set(rows.map((row) => row.content)).size).toBe(rows.length);
  for (const row of rows) {
    expect(row.content).toMatch(/^#{1,2} \S.*\n\n/);
    expect(row.content.length).toBeGreaterThanOrEqual(200);
    expect(row.content.length).toBeLessThanOrEqual(1200);
    expect(row.input.file_tree.split("\n").length).toBeLessThanOrEqual(14);
    expect(canonicalRow(row, "package").group).toBe(row.package);
  }
  expect(buildRows(nodeModules)).toEqual(rows);
});

test("drops rows that the check calls errors", () => {
  const key = ["xoxb-", "2093847561-4839201756-", "Qm7Zp3Lx8Vt2Nc6Rb1Ks9Wd4"].join("");
  write("b/leaky/package.json", '{"name":"leaky"}');
  write(
    "b/leaky/readme.md",
    `# Leaky\n\n${filler.repeat(4)}\n## Use\n\n${filler.repeat(4)}\nSet it to ${key}.\n\n## More\n\n${filler.repeat(4)}`,
  );
  const rows = buildRows(join(folder, "b"));
  expect(rows.length).toBeGreaterThan(0);
  expect(JSON.stringify(rows)).not.toContain(key);
});
