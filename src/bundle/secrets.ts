import { readFileSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { basename, dirname, extname } from "node:path";
import { MoxiError } from "../base/errors.ts";
import { writeFileAtomic } from "../base/files.ts";
import { formatBytes, printable } from "../base/format.ts";
import { isRecord } from "../base/json.ts";
import type { SourceFile } from "./files.ts";

/** Too short to be a secret, and found in any text. */
const shortest = 6;

/** Larger text is data; it has no place in a bundle and would take seconds to read. */
const largest = 20e6;

/** Raised when secretlint or how it is asked changes: what passed the old rules is scanned again. */
const rules = "secretlint 13.1";
const mostKept = 5000;

/**
 * Looks for secrets in files before they leave this machine: by secretlint's recommended rules
 * (loaded when first needed), and for the very values that the user has set. A comment
 * `secretlint-disable-line` lets a line pass that only looks like one.
 *
 * @param values tokens and keys that may be in no file, whatever they look like
 * @param cacheFile keeps which contents passed the rules: they pass again. Values are always looked for
 * @throws E_BUNDLE_SECRET that names every place and shows no secret
 */
export async function scanForSecrets(
  files: readonly SourceFile[],
  values: readonly string[],
  cacheFile?: string,
): Promise<void> {
  const known = values.filter((value) => value.length >= shortest);
  const clean = await readClean(cacheFile);
  const places: string[] = [];
  let news = false;
  for (const file of files) {
    const { path, source, size } = file;
    if (size > largest) {
      throw new MoxiError("E_BUNDLE", `${printable(path)} has ${formatBytes(size)}`, {
        hint: `a file that goes with the code may have ${formatBytes(largest)}; list it in .gitignore, or train on it as the dataset`,
        place: { file: source },
      });
    }
    const bytes = readFileSync(source);
    // Binary files hold text too, and UTF-16 is text with a zero in every second byte.
    const content = bytes.includes(0)
      ? bytes.toString("latin1").replaceAll("\0", "")
      : bytes.toString("utf8");
    const found = new Map<number, string>();
    for (const value of known) {
      const at = content.indexOf(value);
      if (at >= 0) {
        found.set(content.slice(0, at).split("\n").length, "a token or key that you have set");
      }
    }
    // Rules look at a file's name too.
    const id = `${file.sha256} ${basename(path)}`;
    if (!clean.has(id)) {
      const lines = await lint(basename(path), content);
      for (const [line, what] of lines) found.set(line, what);
      if (lines.length === 0) {
        clean.add(id);
        news = true;
      }
    }
    for (const [line, what] of found) places.push(`${printable(path)}:${line}  ${what}`);
  }
  if (news) await writeClean(cacheFile, clean);
  if (places.length === 0) return;
  const count = places.length === 1 ? "a secret" : `${places.length} secrets`;
  throw new MoxiError("E_BUNDLE_SECRET", `${count} in the files that would be sent`, {
    hint: "take it out (and change it, if others may have seen it), or write secretlint-disable-line behind what only looks like one",
    details: places,
  });
}

async function lint(name: string, content: string): Promise<[line: number, what: string][]> {
  const [{ lintSource }, { creator }] = await Promise.all([
    import("@secretlint/core"),
    import("@secretlint/secretlint-rule-preset-recommend"),
  ]);
  const id = "@secretlint/secretlint-rule-preset-recommend";
  const config = { rules: [{ id, rule: creator }] };
  const { messages } = await lintSource({
    source: { filePath: name, content, contentType: "text", ext: extname(name) },
    options: { config, noPhysicFilePath: true, maskSecrets: true },
  });
  return messages.map(({ loc, messageId }) => [loc.start.line, nameOf(messageId)]);
}

async function readClean(file: string | undefined): Promise<Set<string>> {
  if (file === undefined) return new Set();
  try {
    const value: unknown = JSON.parse(await readFile(file, "utf8"));
    if (!isRecord(value) || value["rules"] !== rules || !Array.isArray(value["clean"])) {
      return new Set();
    }
    return new Set(value["clean"].filter((each) => typeof each === "string"));
  } catch {
    return new Set(); // missing or damaged: it is only a cache
  }
}

async function writeClean(file: string | undefined, clean: ReadonlySet<string>): Promise<void> {
  if (file === undefined) return;
  await mkdir(dirname(file), { recursive: true });
  await writeFileAtomic(file, JSON.stringify({ rules, clean: [...clean].slice(-mostKept) }));
}

/** "GITHUB_TOKEN" or "AWSSecretAccessKey" as words; never the message, which may quote the file. */
function nameOf(messageId: string): string {
  return messageId
    .replaceAll("_", " ")
    .replaceAll(/([a-z])(?=[A-Z])|([A-Z])(?=[A-Z][a-z])/g, "$& ")
    .toLowerCase();
}
