import { mkdir, open, rm, rmdir, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { MoxiError, systemCode } from "../base/errors.ts";
import { formatBytes, printable } from "../base/format.ts";
import { giveName } from "./finish.ts";
import { Leftovers } from "./leftovers.ts";

// Where the files of a download come down: their folders, their hidden names, the room for them.

/** Files that are fetched before all names are known to be safe: till then they are hidden. */
export class Unnamed {
  private safe: boolean;
  private readonly hidden = new Map<string, string>();

  constructor(safe: boolean) {
    this.safe = safe;
  }

  /** Where a file is to be fetched that is gathered in `partial`: to its place, or no further. */
  placeOf(partial: string, file: string): string {
    return this.safe ? file : partial;
  }

  /** It is there. @throws E_FILE_CHANGED where it is not */
  add(partial: string, place: string, file: string): void {
    if (place === file) return;
    this.hidden.set(partial, file);
    if (this.safe) this.name(partial, file);
  }

  /** From now on names are safe. @throws E_FILE_CHANGED where a file is not there any more */
  nameAll(): void {
    this.safe = true;
    for (const [partial, file] of this.hidden) this.name(partial, file);
  }

  private name(partial: string, file: string): void {
    giveName(partial, file);
    this.hidden.delete(partial);
  }

  /** Removes what has no name; that it cannot would hide why there is none. */
  async removeAll(): Promise<void> {
    for (const partial of this.hidden.keys()) await rm(partial, { force: true }).catch(() => {});
  }
}

/** The folders that files go to. */
export class Folders {
  private readonly all = new Set<string>();
  readonly left = new Leftovers();
  private readonly made: { readonly folder: string; readonly top: string }[] = [];

  get first(): string | undefined {
    return this.all.values().next().value;
  }

  async make(files: readonly { readonly file: string }[]): Promise<void> {
    for (const folder of new Set(files.map(({ file }) => dirname(file)))) {
      if (this.all.has(folder)) continue;
      this.all.add(folder);
      const top = await mkdir(folder, { recursive: true });
      if (top === undefined) await this.left.look(folder);
      else this.made.push({ folder, top });
    }
  }

  /** Takes back what {@link make} has made, as far as it is empty. */
  async removeMade(): Promise<void> {
    for (const { folder, top } of this.made.toReversed()) {
      for (let at = folder; at.startsWith(top); at = dirname(at)) {
        await rmdir(at).catch(() => {});
      }
    }
  }

  /** A rename is lost with the power unless its folder was written too, and so is a new folder. */
  async sync(): Promise<void> {
    const all = new Set(this.all);
    for (const { folder, top } of this.made) {
      for (let at = folder; at.startsWith(top); at = dirname(at)) all.add(dirname(at));
    }
    for (const folder of all) await syncFolder(folder);
  }
}

/** @throws E_DISK_FULL where the disk of a folder has no room for so many bytes */
export async function requireSpace(folder: string | undefined, bytes: number): Promise<void> {
  if (folder === undefined) return;
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  if (free >= bytes) return;
  throw new MoxiError(
    "E_DISK_FULL",
    `${folder} has ${formatBytes(free)} free, and ${formatBytes(bytes)} are to be fetched`,
    { hint: "free some space, then run the same command again", place: { file: folder } },
  );
}

async function syncFolder(folder: string): Promise<void> {
  // Some file systems cannot, and some folders may not be read; the files themselves are written.
  const handle = await open(folder, "r").catch(() => undefined);
  await handle?.sync().catch(() => {});
  await handle?.close();
}

/** What lies where a download writes, in words; any other error as it is. */
export function inTheWay(error: unknown): unknown {
  const { syscall, path, dest } = error as Partial<{ syscall: string; path: string; dest: string }>;
  const code = systemCode(error);
  const occupied = (place: string, text: string) =>
    new MoxiError("E_USAGE", `${printable(place)} ${text}`, {
      hint: "name another folder, or remove what is there",
      place: { file: place },
      cause: error,
    });
  if (syscall === "mkdir" && path !== undefined && (code === "EEXIST" || code === "ENOTDIR")) {
    return occupied(path, "has to be a folder, and a file lies in its way");
  }
  if (syscall === "rename" && dest !== undefined && code === "EISDIR") {
    return occupied(dest, "is a folder, and a file is to be written there");
  }
  return error;
}
