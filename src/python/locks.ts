import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { MoxiError } from "../base/errors.ts";
import { sha256 } from "../base/hash.ts";

/** One package of a lock file. */
export interface LockedPackage {
  readonly name: string;
  readonly version: string;
  /** When it is installed ("sys_platform == 'linux'"); none means always. */
  readonly marker: string | undefined;
  /** The entry as it stands in the file, hashes included. */
  readonly text: string;
}

/** The packages that training needs: everything except torch, and torch as the default build. */
export interface Locks {
  readonly localFile: string;
  readonly torchFile: string;
  readonly uvFile: string;
  readonly packages: readonly LockedPackage[];
  readonly torch: string;
  /** SHA-256 of the package locks: what a layer is made of. */
  readonly hash: string;
}

/** Reads `local.txt` and the `torch.txt` beside it; `E_INTERNAL` if Moxi was packed without them. */
export async function readLocks(localFile: string): Promise<Locks> {
  const folder = dirname(localFile);
  const torchFile = join(folder, "torch.txt");
  // One after the other: of two missing files the same one is always told.
  const local = await read(localFile);
  const torch = await read(torchFile);
  const packages = [...parseLock(local, localFile), ...parseLock(torch, torchFile)];
  const version = packages.find((entry) => entry.name === "torch")?.version;
  if (version === undefined) throw broken(torchFile, "it does not name torch");
  return {
    localFile,
    torchFile,
    uvFile: join(folder, "uv.txt"),
    packages,
    torch: version,
    hash: sha256(`${local}\n${torch}`),
  };
}

async function read(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw broken(file, "it cannot be read", error);
  }
}

const entryStart = /^([a-z0-9][a-z0-9._-]*)==([^\s;\\]+)(?:\s*;\s*([^\\]*?))?\s*\\$/i;
const hashLine = /^ {4}--hash=sha256:[0-9a-f]{64}( \\)?$/;

/** The packages of a hashed requirements file as `uv pip compile --generate-hashes` writes it. */
export function parseLock(text: string, file: string): LockedPackage[] {
  const entries: { name: string; version: string; marker: string | undefined; lines: string[] }[] =
    [];
  for (const [index, line] of text.split("\n").entries()) {
    if (line === "" || line.startsWith("#")) continue;
    const start = entryStart.exec(line);
    if (start !== null) {
      entries.push({ name: start[1]!, version: start[2]!, marker: start[3], lines: [line] });
    } else if (hashLine.test(line) && entries.length > 0) {
      entries.at(-1)!.lines.push(line);
    } else {
      throw broken(file, `line ${index + 1} is neither a pinned package nor a hash`);
    }
  }
  const bare = entries.find(({ lines }) => lines.length === 1);
  if (bare !== undefined) throw broken(file, `${bare.name} has no hash`);
  return entries.map(({ lines, ...entry }) => ({ ...entry, text: lines.join("\n") }));
}

function broken(file: string, why: string, cause?: unknown): MoxiError {
  return new MoxiError("E_INTERNAL", `the lock file ${file} is damaged: ${why}`, {
    hint: "install Moxi again, or run `git checkout trainer/locks` in a clone",
    place: { file },
    cause,
  });
}
