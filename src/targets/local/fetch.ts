import { randomBytes } from "node:crypto";
import { cp, mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { MoxiError, systemCode } from "../../base/errors.ts";
import { isWhole, newestFirst } from "../manifest.ts";
import type { Fetched, Part, RunRef } from "../target.ts";

/** Where a part of a run lies on this machine, which is where it was made; a copy of it elsewhere. */
export async function fetchLocal(ref: RunRef, part: Part, folder: string): Promise<Fetched> {
  const { from, to } = await placeOf(ref, part, folder);
  const { files, bytes } = await sizeOf(from);
  if (files === 0) {
    throw new MoxiError("E_RUN_STATE", `${ref.run} has left no ${words[part]}`, {
      hint: `moxi show ${ref.run} tells what became of it`,
    });
  }
  if (from === to) return { folder: to, files, bytes, resumedBytes: bytes };
  const draft = `${to}.${randomBytes(4).toString("hex")}.tmp`;
  try {
    await mkdir(dirname(draft), { recursive: true });
    await cp(from, draft, { recursive: true });
    await rename(draft, to);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    throw error;
  }
  return { folder: to, files, bytes, resumedBytes: 0 };
}

const words: Readonly<Record<Part, string>> = {
  artifact: "model",
  checkpoint: "whole checkpoint",
  base: "base model",
};

async function placeOf(ref: RunRef, part: Part, folder: string) {
  const checkpoints = join(ref.folder, "checkpoints");
  if (part === "artifact") return { from: join(ref.folder, "model"), to: folder };
  if (part === "base") return { from: join(checkpoints, "base"), to: folder };
  for (const name of newestFirst(await namesIn(checkpoints))) {
    const from = join(checkpoints, name);
    if (await isWhole(from)) return { from, to: join(folder, name) };
  }
  return { from: join(checkpoints, "-"), to: folder };
}

async function sizeOf(folder: string): Promise<{ files: number; bytes: number }> {
  const found = await namesIn(folder, true);
  const sizes = await Promise.all(found.map((name) => stat(join(folder, name))));
  const files = sizes.filter((each) => each.isFile());
  return { files: files.length, bytes: files.reduce((sum, { size }) => sum + size, 0) };
}

async function namesIn(folder: string, recursive = false): Promise<string[]> {
  try {
    return await readdir(folder, { recursive });
  } catch (error) {
    if (systemCode(error) === "ENOENT") return [];
    throw error;
  }
}
