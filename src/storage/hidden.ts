import { hash, randomBytes } from "node:crypto";
import { pid } from "node:process";
import { sep } from "node:path";
import { processStartTime } from "../base/process.ts";

// Where an object is gathered until it is whole: in a hidden file beside its place, of which the name
// says what it becomes, which version it is and whose it is. No two downloads write into one file, so
// that what one of them gets wrong is no other's; what nobody owns any more is gone on with.

/** One download's own name: its process, when that began, and which of its downloads. */
export interface Owner {
  readonly name: string;
  /** From now on what it leaves is anybody's. */
  release(): void;
}

/** The owners of this process that have not been released. */
const own = new Set<string>();

export async function createOwner(): Promise<Owner> {
  const name = `${pid}-${tagOf((await processStartTime(pid)) ?? "")}-${randomBytes(4).toString("hex")}`;
  own.add(name);
  return { name, release: () => void own.delete(name) };
}

/** Whether what this owner has left may be taken: its download has ended, however it ended. */
export async function isReleased(owner: string): Promise<boolean> {
  const [id, began] = owner.split("-");
  const started = await processStartTime(Number(id));
  if (started === undefined || tagOf(started) !== began) return true;
  return Number(id) === pid && !own.has(owner);
}

/** The hidden file of one version of a file. */
export function hiddenName(file: string, etag: string, owner: string): string {
  const at = Math.max(file.lastIndexOf("/"), file.lastIndexOf(sep)) + 1;
  const tags = tagsOf(file.slice(at), etag);
  // A name of 255 bytes leaves no room for more.
  return `${file.slice(0, at)}.moxi-${tags.file}-${tags.version}-${owner}.part`;
}

/** What hidden names say of a file and its version. */
export interface Tags {
  readonly file: string;
  readonly version: string;
}

export function tagsOf(name: string, etag: string): Tags {
  return { file: tagOf(name), version: tagOf(`${name} ${etag}`) };
}

const hidden =
  /(?:^|\/)\.moxi-([0-9a-f]{16})-([0-9a-f]{16})-(\d{1,10}-[0-9a-f]{16}-[0-9a-f]{8})\.part(?:\.done)?$/;

/** What the name of a hidden file, or of its journal, tells; undefined for any other. */
export function readHidden(name: string): (Tags & { readonly owner: string }) | undefined {
  const [, file, version, owner] = hidden.exec(name) ?? [];
  return owner === undefined ? undefined : { file: file!, version: version!, owner };
}

/** What a download leaves that was broken off. It is neither sent nor fetched. */
export function isHidden(name: string): boolean {
  return hidden.test(name);
}

/** Among ten thousand files two would have the same CRC-32 in one of a hundred folders. */
function tagOf(text: string): string {
  return hash("sha256", text).slice(0, 16);
}
