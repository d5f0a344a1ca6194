import { mkdir, open, readdir, rm, rmdir, stat, statfs } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { MoxiError, systemCode } from "../base/errors.ts";
import { formatBytes, printable } from "../base/format.ts";
import { giveName } from "./finish.ts";
import { isGone } from "./gone.ts";
import { journalOf } from "./journal.ts";
import { isUnfinished, isUnfinishedOf, partialName } from "./names.ts";

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

  /**
   * It is there.
   *
   * @throws that it is {@link isGone | gone}
   */
  add(partial: string, place: string, file: string): void {
    if (place === file) return;
    this.hidden.set(partial, file);
    if (this.safe) this.name(partial, file);
  }

  /** From now on names are safe. Returns the files that are {@link isGone | gone}. */
  nameAll(): ReadonlySet<string> {
    this.safe = true;
    const gone = new Set<string>();
    for (const [partial, file] of this.hidden) {
      try {
        this.name(partial, file);
      } catch (error) {
        if (!isGone(error)) throw error;
        gone.add(file);
      }
    }
    return gone;
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
  /** What unfinished downloads have left in some of them. */
  private readonly left = new Map<string, readonly string[]>();
  private readonly made: { readonly folder: string; readonly top: string }[] = [];

  get first(): string | undefined {
    return this.all.values().next().value;
  }

  async make(files: readonly { readonly file: string }[]): Promise<void> {
    for (const folder of new Set(files.map(({ file }) => dirname(file)))) {
      if (this.all.has(folder)) continue;
      this.all.add(folder);
      const top = await mkdir(folder, { recursive: true });
      if (top !== undefined) this.made.push({ folder, top });
      const names = await readdir(folder).catch((): string[] => []);
      const left = names.filter(isUnfinished);
      if (left.length > 0) this.left.set(folder, left);
    }
  }

  /** Removes what was left of other versions of these files: S3 has none of them to go on with. */
  async removeOlder(
    files: readonly { readonly file: string; readonly etag: string }[],
  ): Promise<void> {
    if (this.left.size === 0) return;
    for (const { file, etag } of files) {
      const folder = dirname(file);
      const now = basename(partialName(file, etag));
      const isOlder = (name: string) =>
        isUnfinishedOf(name, basename(file)) && name !== now && name !== journalOf(now);
      for (const name of this.left.get(folder)?.filter(isOlder) ?? []) {
        await rm(join(folder, name), { force: true }).catch(() => {});
      }
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

  /** A rename is lost with the power unless its folder was written too. */
  async sync(): Promise<void> {
    for (const folder of this.all) await syncFolder(folder);
  }
}

/** How many bytes of a disk a file holds, which may have holes; 0 where there is none. */
export async function heldOnDisk(path: string): Promise<number> {
  const found = await stat(path).catch(() => undefined);
  // POSIX counts in blocks of 512 bytes, whatever those of the disk are.
  return (found?.blocks ?? 0) * 512;
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
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } catch {
    // Some file systems cannot; the files themselves are written.
  } finally {
    await handle.close();
  }
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
