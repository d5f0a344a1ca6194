import { constants } from "node:fs";
import { lstat, open, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { isReleased, readHidden, tagsOf } from "./hidden.ts";
import { journalOf } from "./journal.ts";

/** A download that writes nothing for so long has ended, wherever it ran. */
const silentMs = 3600_000;

/** Between two renames. */
const momentMs = 100;

/** A file, and which version of its object it is to be. */
export interface Version {
  readonly file: string;
  readonly etag: string;
}

/** What downloads have left that have ended: to be gone on with, or in the way. */
export class Leftovers {
  /** The version of each, by its path, by the place of the file that it was to become. */
  private readonly all = new Map<string, Map<string, string>>();

  /** Finds what lies in a folder. */
  async look(folder: string): Promise<void> {
    const released = new Map<string, boolean | undefined>();
    for (const name of await readdir(folder).catch((): string[] => [])) {
      const found = readHidden(name);
      if (found === undefined) continue;
      const { owner, file, version } = found;
      const written = await lstat(join(folder, name)).catch(() => undefined);
      if (written === undefined || !isOwn(written.uid)) continue;
      if (!released.has(owner)) released.set(owner, await isReleased(owner));
      if (!(released.get(owner) ?? isSilent(written.mtimeMs))) continue;
      const key = join(folder, file);
      const left = this.all.get(key) ?? new Map<string, string>();
      this.all.set(key, left.set(join(folder, name.replace(/\.done$/, "")), version));
    }
  }

  /** Removes what is left of these files and of no use: that of a small one, or of another version. */
  async tidy(files: readonly (Version & { readonly isLarge: boolean })[]): Promise<void> {
    if (this.all.size === 0) return;
    for (const file of files) {
      const left = this.all.get(keyOf(file)) ?? new Map<string, string>();
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
    const left = this.all.get(keyOf(file));
    this.all.delete(keyOf(file));
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
    for (const path of left?.keys() ?? []) {
      if (!(await isTaken(path))) await remove(path);
    }
  }

  /** What can be gone on with: two plain files that may be written. That which holds most is first. */
  private async usable(
    file: Version,
    left = this.all.get(keyOf(file)),
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

/** Whether another download takes it over just now: first the journal, and at once the file. */
async function isTaken(path: string): Promise<boolean> {
  const isThere = async (each: string) => (await lstat(each).catch(() => undefined)) !== undefined;
  if (await isThere(journalOf(path))) return false;
  await setTimeout(momentMs);
  return !(await isThere(path));
}

function isSilent(writtenMs: number): boolean {
  return Date.now() - writtenMs > silentMs;
}

/** Of other users' processes a system may tell nothing, but to root. */
function isOwn(uid: number): boolean {
  const own = process.getuid?.() ?? uid;
  return own === uid || own === 0;
}

/** How many bytes of a disk a file holds, which may have holes; 0 where there is none. */
export async function heldOnDisk(path: string): Promise<number> {
  const found = await stat(path).catch(() => undefined);
  // POSIX counts in blocks of 512 bytes, whatever those of the disk are.
  return (found?.blocks ?? 0) * 512;
}

/** Removes what downloads that have ended have left of files which are not to be fetched. */
export async function removeLeft(files: readonly Version[]): Promise<void> {
  const left = new Leftovers();
  for (const folder of new Set(files.map(({ file }) => dirname(file)))) await left.look(folder);
  await left.tidy(files.map((file) => ({ ...file, isLarge: false })));
}
