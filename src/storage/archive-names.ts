import { printable } from "../base/format.ts";

/** What Linux and macOS allow for one name, in bytes of UTF-8. */
const longestName = 255;
const longestPath = 1024;
const deepest = 32;

/**
 * Judges the names in an archive, one after the other. Two names that one file system would take
 * for the same (letter case, composed accents) count as the same on all.
 */
export class ArchiveNames {
  readonly #refuse: (what: string) => Error;
  readonly #files = new Set<string>();
  readonly #folders = new Set<string>();

  constructor(refuse: (what: string) => Error) {
    this.#refuse = refuse;
  }

  /** The entry's path below the top, with "/" and without "."; "" is the top itself. Throws what `refuse` makes. */
  accept(name: string, type: string): string {
    const shown = `"${printable(name)
      .replaceAll(/[\n\t]/g, " ")
      .slice(0, 200)}"`;
    if (type !== "file" && type !== "directory") {
      throw this.#refuse(`holds a ${type.replace(/^link$/, "hard link")}, ${shown}`);
    }
    if (/^(?:[/\\]|[a-z]:)/i.test(name)) throw this.#refuse(`names an absolute path, ${shown}`);
    if (printable(name) !== name || /[\n\t\ufffd]/.test(name)) {
      throw this.#refuse(`holds a name with control or broken characters, ${shown}`);
    }
    if (name.includes("\\")) throw this.#refuse(`holds a name with a backslash, ${shown}`);
    const parts = name.split("/").filter((part) => part !== "" && part !== ".");
    if (parts.includes("..")) throw this.#refuse(`names a path outside it, ${shown}`);
    if (
      parts.length > deepest ||
      Buffer.byteLength(name) > longestPath ||
      parts.some((part) => Buffer.byteLength(part) > longestName)
    ) {
      throw this.#refuse(`holds a name that is too long, ${shown}`);
    }
    this.#claim(parts, type, shown);
    return parts.join("/");
  }

  #claim(parts: readonly string[], type: string, shown: string): void {
    const keys = parts.map((_, index) =>
      parts
        .slice(0, index + 1)
        .join("/")
        .normalize("NFC")
        .toLowerCase(),
    );
    const own = type === "file" ? keys.pop() : undefined;
    if (type === "file" && (own === undefined || this.#files.has(own) || this.#folders.has(own))) {
      throw this.#refuse(`holds the same name twice, ${shown}`);
    }
    for (const key of keys) {
      if (this.#files.has(key)) throw this.#refuse(`holds the same name twice, ${shown}`);
      this.#folders.add(key);
    }
    if (own !== undefined) this.#files.add(own);
  }
}
