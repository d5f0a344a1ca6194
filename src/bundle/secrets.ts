import { readFile } from "node:fs/promises";
import { basename, extname } from "node:path";
import { MoxiError } from "../base/errors.ts";
import { formatBytes, printable } from "../base/format.ts";
import type { SourceFile } from "./files.ts";

/** Too short to be a secret, and found in any text. */
const shortest = 6;

/** Larger text is data; it has no place in a bundle and would take seconds to read. */
const largest = 20e6;

/**
 * Looks for secrets in files before they leave this machine: by secretlint's recommended rules
 * (loaded when first needed), and for the very values that the user has set. A comment
 * `secretlint-disable-line` lets a line pass that only looks like one.
 *
 * @param values tokens and keys that may be in no file, whatever they look like
 * @throws E_BUNDLE_SECRET that names every place and shows no secret
 */
export async function scanForSecrets(
  files: readonly SourceFile[],
  values: readonly string[],
): Promise<void> {
  const [{ lintSource }, { creator }] = await Promise.all([
    import("@secretlint/core"),
    import("@secretlint/secretlint-rule-preset-recommend"),
  ]);
  const id = "@secretlint/secretlint-rule-preset-recommend";
  const config = { rules: [{ id, rule: creator }] };
  const known = values.filter((value) => value.length >= shortest);
  const places: string[] = [];
  for (const { path, source, size } of files) {
    if (size > largest) {
      throw new MoxiError("E_BUNDLE", `${printable(path)} has ${formatBytes(size)}`, {
        hint: `a file that goes with the code may have ${formatBytes(largest)}; list it in .gitignore, or train on it as the dataset`,
        place: { file: source },
      });
    }
    const bytes = await readFile(source);
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
    const { messages } = await lintSource({
      source: { filePath: basename(path), content, contentType: "text", ext: extname(path) },
      options: { config, noPhysicFilePath: true, maskSecrets: true },
    });
    for (const { loc, messageId } of messages) found.set(loc.start.line, nameOf(messageId));
    for (const [line, what] of found) places.push(`${printable(path)}:${line}  ${what}`);
  }
  if (places.length === 0) return;
  const count = places.length === 1 ? "a secret" : `${places.length} secrets`;
  throw new MoxiError("E_BUNDLE_SECRET", `${count} in the files that would be sent`, {
    hint: "take it out (and change it, if others may have seen it), or write secretlint-disable-line behind what only looks like one",
    details: places,
  });
}

/** "GITHUB_TOKEN" or "AWSSecretAccessKey" as words; never the message, which may quote the file. */
function nameOf(messageId: string): string {
  return messageId
    .replaceAll("_", " ")
    .replaceAll(/([a-z])(?=[A-Z])|([A-Z])(?=[A-Z][a-z])/g, "$& ")
    .toLowerCase();
}
