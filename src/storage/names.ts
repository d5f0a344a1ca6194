import { join } from "node:path";
import { MoxiError } from "../base/errors.ts";
import { printable } from "../base/format.ts";

/** Names that Windows keeps for devices; a folder that is synced there must not hold them either. */
const devices = /^(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)/i;

/**
 * The place below `folder` of an object whose key, less its prefix, is `name`. Refuses what would
 * leave the folder or be written as another name: "..", ".", empty and absolute names, backslashes,
 * control characters (newlines and escapes among them), lone surrogates, parts over 255 bytes.
 *
 * @throws E_FILE_NAME
 */
export function safePath(
  folder: string,
  name: string,
  what: "object" | "file" | "target" = "object",
): string {
  const parts = name.split("/");
  const wrong = parts.map(faultOf).find((fault) => fault !== undefined);
  if (wrong === undefined) return join(folder, ...parts);
  const done = what === "object" ? "written" : "sent";
  const remedy = what === "target" ? "choose another" : `remove or rename that ${what}`;
  throw new MoxiError("E_FILE_NAME", `the ${what} ${shown(name)} ${wrong}`, {
    hint: `nothing was ${done}; ${remedy}`,
  });
}

function faultOf(part: string): string | undefined {
  if (part === "") return "has an empty or absolute name";
  if (part === "." || part === "..") return `has ${part} in its name`;
  // oxlint-disable-next-line no-control-regex
  if (/[\u0000-\u001f\u007f-\u009f]/.test(part)) return "has a control character in its name";
  // U+FFFD is what a list shows for a character that it cannot write.
  if (!part.isWellFormed() || part.includes("\ufffd")) return "has a broken character in its name";
  if (part.includes("\\")) return "has a backslash in its name";
  if (devices.test(part)) return "has the name of a device";
  if (Buffer.byteLength(part) > 255) return "has a name of more than 255 bytes";
  return undefined;
}

/** Names of objects, each of which lies at a place of its own. */
export class NamesApart {
  private readonly files = new Map<string, string>();
  private readonly folders = new Map<string, string>();

  /**
   * Refuses an object that would lie at another's place: a file that is also a folder, or a name that
   * only differs in what a file system may ignore.
   *
   * @throws E_FILE_NAME
   */
  add(name: string): void {
    const place = name.normalize("NFC").toLowerCase();
    const other = this.files.get(place) ?? this.folders.get(place);
    if (other !== undefined) throw clash(name, other);
    this.files.set(place, name);
    for (let end = place.lastIndexOf("/"); end > 0; end = place.lastIndexOf("/", end - 1)) {
      const folder = place.slice(0, end);
      // Then those above it are known too.
      if (this.folders.has(folder)) return;
      const file = this.files.get(folder);
      if (file !== undefined) throw clash(name, file);
      this.folders.set(folder, name);
    }
  }
}

function clash(name: string, other: string): MoxiError {
  const text = `the objects ${shown(name)} and ${shown(other)} would lie at one place`;
  return new MoxiError("E_FILE_NAME", text, {
    hint: "nothing was written; remove or rename one of them",
  });
}

function shown(name: string): string {
  const text = printable(JSON.stringify(name));
  return text.length > 120 ? `${text.slice(0, 117)}..."` : text;
}
