import { randomBytes } from "node:crypto";
import { constants, copyFile, cp, link, mkdir, rename, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { systemCode } from "../../base/errors.ts";
import { writeFileAtomic } from "../../base/files.ts";
import { adapterFiles } from "../../model/adapter.ts";
import { adapterFolder as adapterPlace, renderJob } from "../../run/job.ts";
import type { Submission } from "../target.ts";

/**
 * Lays the run's folder out as the container contract has it: code, rows and job below `input/`.
 * What an earlier attempt laid out stays, so that a resumed run trains with the same code and rows.
 */
export async function layOut(submission: Submission, trainerFolder: string): Promise<void> {
  const { run, folder, plan, attempt, dataset, modelFolder, adapterFolder } = submission;
  const data = join(folder, "input", "data");
  for (const part of ["input/data/job", "output", "model", "checkpoints"]) {
    await mkdir(join(folder, part), { recursive: true });
  }
  await once(join(data, "moxi"), (draft) => copyTrainer(trainerFolder, draft));
  await channel(data, "train", dataset.train);
  if (dataset.eval !== null) await channel(data, "eval", dataset.eval);
  if (adapterFolder !== null) {
    // A copy: the other run may be deleted, and this one resumed.
    await once(join(folder, adapterPlace), async (draft) => {
      await mkdir(draft);
      for (const name of adapterFiles) await copyFile(join(adapterFolder, name), join(draft, name));
    });
  }
  const options = { run, attempt: attempt.attempt, nonce: attempt.nonce, modelPath: modelFolder };
  const job = JSON.stringify(renderJob(plan, options), null, 2);
  await writeFileAtomic(join(data, "job", "job.json"), `${job}\n`);
}

async function channel(data: string, name: string, file: string): Promise<void> {
  await once(join(data, name), async (draft) => {
    await mkdir(draft);
    await linkOrCopy(file, join(draft, `${name}.jsonl`));
  });
}

async function copyTrainer(from: string, to: string): Promise<void> {
  await mkdir(to);
  await copyFile(join(from, "bootstrap.py"), join(to, "bootstrap.py"));
  await cp(join(from, "moxi_train"), join(to, "moxi_train"), {
    recursive: true,
    filter: (path) => basename(path) !== "__pycache__",
  });
}

/** Rows are written once, under a name that tells their content, so that a link is as good as a copy. */
async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    // Another file system, or one that knows no links.
    if (!["EXDEV", "EPERM", "EMLINK", "ENOTSUP"].includes(systemCode(error) ?? "")) throw error;
    await copyFile(from, to, constants.COPYFILE_FICLONE);
  }
}

/** Makes a folder whole or not at all, unless it is there. */
async function once(folder: string, make: (draft: string) => Promise<void>): Promise<void> {
  if (await exists(folder)) return;
  const draft = `${folder}.${randomBytes(4).toString("hex")}.tmp`;
  try {
    await make(draft);
    await rename(draft, folder);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    throw error;
  }
}

/** Whether something lies there. */
export async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (systemCode(error) === "ENOENT") return false;
    throw error;
  }
}
