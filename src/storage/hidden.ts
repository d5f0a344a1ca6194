import { hash, randomBytes } from "node:crypto";
import { readlink } from "node:fs/promises";
import { hostname, platform } from "node:os";
import { sep } from "node:path";
import { kill, pid } from "node:process";
import { systemCode } from "../base/errors.ts";
import { processStartTime } from "../base/process.ts";

// Where an object is gathered until it is whole: in a hidden file beside its place, of which the name
// says what it becomes, which version it is and whose it is. No two downloads write into one file, so
// that what one of them gets wrong is no other's; what nobody owns any more is gone on with.

/** One download's own name: its process, where and when that began, and which of its downloads. */
export interface Owner {
  readonly name: string;
  /** From now on what it leaves is anybody's. */
  release(): void;
}

/** Of this process, as far as this copy of the module has made them. */
const owners = { running: new Set<string>(), ended: new Set<string>() };

export async function createOwner(): Promise<Owner> {
  const began = await beganOf(pid).catch(() => undefined);
  const name = [pid, await placeOfProcesses(), began ?? none, randomBytes(4).toString("hex")].join(
    "-",
  );
  owners.running.add(name);
  return {
    name,
    release() {
      owners.running.delete(name);
      owners.ended.add(name);
    },
  };
}

/**
 * Whether what this owner has left may be taken: its download has ended, however it ended. Undefined
 * where its process cannot be looked at: in another container, on another machine.
 */
export async function isReleased(owner: string): Promise<boolean | undefined> {
  if (owners.running.has(owner)) return false;
  if (owners.ended.has(owner)) return true;
  const [id = "", place, began] = owner.split("-");
  // One of ours that this copy of the module knows nothing of may be another thread's.
  if (place !== (await placeOfProcesses()) || Number(id) === pid) return undefined;
  try {
    kill(Number(id), 0);
  } catch (error) {
    if (systemCode(error) === "ESRCH") return true;
  }
  // A number is given out again.
  const now = await beganOf(Number(id)).catch(() => undefined);
  return now === undefined || began === none ? undefined : now !== began;
}

const none = "0".repeat(16);

async function beganOf(id: number): Promise<string | undefined> {
  const started = await processStartTime(id);
  return started === undefined ? undefined : tagOf(started);
}

/** Where a process's number means this process: a machine, or a container on it. */
async function placeOfProcesses(): Promise<string> {
  // Other systems have no such containers, and their machines change names with the network.
  if (platform() !== "linux") return tagOf(platform());
  const container = await readlink("/proc/self/ns/pid").catch(() => "");
  return tagOf(`${hostname()} ${container}`);
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
  /(?:^|\/)\.moxi-([0-9a-f]{16})-([0-9a-f]{16})-(\d{1,10}-[0-9a-f]{16}-[0-9a-f]{16}-[0-9a-f]{8})\.part(?:\.done)?$/;

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
