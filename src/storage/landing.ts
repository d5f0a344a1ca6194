import { constants } from "node:fs";
import { lstat, mkdir, open, readdir, rename, rm, rmdir, stat, statfs } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { MoxiError, systemCode } from "../base/errors.ts";
import { formatBytes, printable } from "../base/format.ts";
import { giveName } from "./finish.ts";
import { isReleased, readHidden, tagsOf } from "./hidden.ts";
import { journalOf } from "./journal.ts";

// Where the files of a download come down: their folders, their hidden names, the room for them.

/** A download that writes nothing for so long has ended, wherever it ran. */
const silentMs = 3600_000;

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
  /**
   * What downloads have left that have ended: the version of each, by its path, by the place of the
   * file that it was to become.
   */
  private readonly left = new Map<string, Map<string, string>>();
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
      if (top === undefined) await this.look(folder);
    }
  }

  /** Removes what is left of these files and of no use: that of a small one, or of another version. */
  async tidy(files: readonly (Version & { readonly isLarge: boolean })[]): Promise<void> {
    if (this.left.size === 0) return;
    for (const file of files) {
      const left = this.left.get(keyOf(file)) ?? new Map<string, string>();
      const { version } = tagsOf(basename(file.file), file.etag);
      for (const [path, its] of left) {
        if (file.isLarge && its === version) continue;
        await remove(path);
        left.delete(path);
      }
    }
  }

  /** How many bytes of the disk are held by what a download of this version goes on with. */
  async heldBy(file: Version): Promise<number> {
    const [first] = await this.usable(file);
    return first?.held ?? 0;
  }

  /** Makes what is left of a version one's own: `partial`. Of several that which has most. */
  async takeOver(file: Version, partial: string): Promise<void> {
    const left = this.left.get(keyOf(file));
    this.left.delete(keyOf(file));
    for (const { path } of await this.usable(file, left)) {
      left!.delete(path);
      // Who gets the journal gets the file. Where somebody else was quicker the file is left to him.
      const isOurs = await rename(journalOf(path), journalOf(partial)).then(
        () => true,
        () => false,
      );
      if (!isOurs) continue;
      await rename(path, partial).catch(() => {});
      break;
    }
    for (const path of left?.keys() ?? []) await remove(path);
  }

  /** What can be gone on with: two plain files that may be written. That which holds most is first. */
  private async usable(
    file: Version,
    left = this.left.get(keyOf(file)),
  ): Promise<{ readonly path: string; readonly held: number }[]> {
    const { version } = tagsOf(basename(file.file), file.etag);
    const found: { path: string; held: number }[] = [];
    for (const [path, its] of left ?? []) {
      if (its !== version || !(await isWritable(path)) || !(await isWritable(journalOf(path))))
        continue;
      found.push({ path, held: await heldOnDisk(path) });
    }
    return found.sort((one, other) => other.held - one.held);
  }

  private async look(folder: string): Promise<void> {
    const released = new Map<string, boolean | undefined>();
    for (const name of await readdir(folder).catch((): string[] => [])) {
      const found = readHidden(name);
      if (found === undefined) continue;
      const { owner, file, version } = found;
      const written = await lstat(join(folder, name)).catch(() => undefined);
      if (written === undefined || !isOwn(written.uid)) continue;
      if (!released.has(owner)) released.set(owner, await isReleased(owner));
      const isSilent = Date.now() - written.mtimeMs > silentMs;
      if (!(released.get(owner) ?? isSilent)) continue;
      const key = join(folder, file);
      const left = this.left.get(key) ?? new Map<string, string>();
      this.left.set(key, left.set(join(folder, name.replace(/\.done$/, "")), version));
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

/** A file, and which version of its object it is to be. */
interface Version {
  readonly file: string;
  readonly etag: string;
}

function keyOf({ file, etag }: Version): string {
  return join(dirname(file), tagsOf(basename(file), etag).file);
}

async function remove(path: string): Promise<void> {
  for (const each of [path, journalOf(path)]) await rm(each, { force: true }).catch(() => {});
}

/** Without following a link, or waiting for a pipe. */
async function isWritable(path: string): Promise<boolean> {
  const { O_RDWR, O_NOFOLLOW, O_NONBLOCK } = constants;
  try {
    const handle = await open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK);
    try {
      return (await handle.stat()).isFile();
    } finally {
      await handle.close();
    }
  } catch {
    return false;
  }
}

/** Of other users' processes a system may tell nothing, but to root. */
function isOwn(uid: number): boolean {
  const own = process.getuid?.() ?? uid;
  return own === uid || own === 0;
}

/** Removes what downloads that have ended have left of files which are not to be fetched. */
export async function removeLeft(files: readonly Version[]): Promise<void> {
  const folders = new Folders();
  await folders.make(files);
  await folders.tidy(files.map((file) => ({ ...file, isLarge: false })));
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
