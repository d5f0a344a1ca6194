// Builds the example dataset from the npm packages that are installed here: see README.md.
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { parseArgs } from "node:util";
import { writeFileAtomic } from "../../src/base/files.ts";
import { levelsOf } from "../../src/dataset/rules/catalog.ts";
import { RowChecker } from "../../src/dataset/rules/row-checker.ts";
import { leadText, parseReadme, sectionText } from "./markdown.ts";
import type { Section } from "./markdown.ts";
import { findPackages } from "./packages.ts";
import type { Package } from "./packages.ts";

export interface Row {
  readonly instruction: string;
  readonly input: {
    readonly project_type: string;
    readonly description?: string;
    readonly file_tree: string;
  };
  readonly content: string;
  /** For the config's `split.groupBy`; never trained on. */
  readonly package: string;
}

/** Characters an answer has; a small model learns little from less and loses the thread in more. */
const shortest = 200;
const longest = 1200;

/** Sections that say nothing of the package itself. */
const boilerplate =
  /^(?:licen[cs]|change ?log|contribut|credits|sponsor|authors?$|related|thanks)/i;

/** The rows of every package below a `node_modules` folder, in a fixed order, each answer once. */
export function buildRows(nodeModules: string): Row[] {
  const byContent = new Map<string, Row>();
  for (const item of findPackages(nodeModules)) {
    for (const row of packageRows(item)) {
      if (!byContent.has(row.content)) byContent.set(row.content, row);
    }
  }
  return withoutErrors([...byContent.values()]);
}

/** Without the rows that `moxi data check` calls errors, such as one with a key in its example code. */
function withoutErrors(rows: readonly Row[]): Row[] {
  const checker = new RowChecker({
    form: { kind: "alpaca" },
    container: "array",
    levels: levelsOf({}),
    maxPlaces: 0,
    splitKeys: false,
  });
  const raw = rows.map((value, index) => ({ value, row: index + 1, line: index + 1 }));
  const bad = new Set(checker.checkRows(raw).bad);
  return rows.filter((_, index) => !bad.has(index));
}

function packageRows(item: Package): Row[] {
  const readme = parseReadme(item.readme, item.name);
  const row = (what: string, content: string): Row => ({
    instruction: `Write the ${what} of this npm package.`,
    input: {
      project_type: item.projectType,
      ...(item.description === "" ? {} : { description: cut(item.description, 120) }),
      file_tree: item.fileTree,
    },
    content,
    package: item.name,
  });
  return [
    row("README", opening(readme)),
    ...readme.children
      .flatMap(pieces)
      .filter(({ title }) => !boilerplate.test(title))
      .map(({ title, text }) => row(`"${title.replaceAll("`", "")}" section of the README`, text)),
  ].filter((candidate) => isGood(candidate.content));
}

/** A short README: the title, its text, and whole sections as long as they fit. */
function opening(readme: Section): string {
  let text = leading(readme);
  for (const section of readme.children) {
    const longer = `${text}\n\n${sectionText(section)}`;
    if (longer.length > longest) break;
    text = longer;
  }
  return text;
}

/** A section as one answer if it fits, else its own text and each section below it; each a `##`. */
function pieces(section: Section): { title: string; text: string }[] {
  const whole = sectionText(section, 2);
  if (whole.length <= longest) return [{ title: section.title, text: whole }];
  return [{ title: section.title, text: leading(section, 2) }, ...section.children.flatMap(pieces)];
}

/** The heading and as many blocks below it as fit. */
function leading(section: Section, level: number = section.level): string {
  const blocks: string[] = [];
  let length = 0;
  for (const block of section.blocks) {
    length += block.length + 2;
    if (length > longest - 80) break;
    blocks.push(block);
  }
  return leadText({ ...section, blocks }, level);
}

/** English prose or code that a person would write, not a wall of links, tables or key material. */
function isGood(text: string): boolean {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  const share = (pattern: RegExp) =>
    lines.filter((line) => pattern.test(line)).length / lines.length;
  const foreign = text.match(/[^\s!-\u024f\u2000-\u27bf]/g)?.length ?? 0;
  return (
    text.length >= shortest &&
    text.length <= longest &&
    lines.length > 2 &&
    foreign / text.length < 0.02 &&
    share(/https?:\/\//) < 0.3 &&
    share(/^\s*\|/) < 0.5 &&
    share(/<\/?[a-z][^>]*>/i) < 0.3 &&
    !/[0-9a-f]{32}|[A-Za-z0-9+/]{48}|-----BEGIN|\b(?:AKIA|ghp_|npm_|sk-)[A-Za-z0-9]{16}/i.test(text)
  );
}

function cut(text: string, length: number): string {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length <= length ? line : `${line.slice(0, line.lastIndexOf(" ", length))} ...`;
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      "node-modules": { type: "string", default: "node_modules" },
      out: { type: "string", default: "data/sft/training_dataset.json" },
    },
  });
  const nodeModules = resolve(values["node-modules"]);
  const rows = existsSync(nodeModules) ? buildRows(nodeModules) : [];
  if (rows.length === 0) {
    process.stderr.write(`no README to learn from in ${nodeModules}: run npm install first\n`);
    process.exitCode = 1;
  } else {
    const out = resolve(values.out);
    await mkdir(dirname(out), { recursive: true });
    await writeFileAtomic(out, `${JSON.stringify(rows, null, 2)}\n`);
    const packages = new Set(rows.map((row) => row.package)).size;
    process.stdout.write(`${rows.length} rows from ${packages} packages -> ${values.out}\n`);
  }
}
