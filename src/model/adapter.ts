import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { MoxiError, systemCode } from "../base/errors.ts";
import { hashJson } from "../base/hash.ts";
import { toyModel } from "../run/recipe.ts";
import type { Recipe } from "../run/recipe.ts";

/** What an adapter consists of, as PEFT writes it. */
export const adapterFiles = ["adapter_config.json", "adapter_model.safetensors"] as const;

/** An adapter to start a training from. */
export interface ResolvedAdapter {
  readonly run: string;
  readonly folder: string;
  /** SHA-256 over name, size and hash of each of its files. */
  readonly fingerprint: string;
  readonly lora: NonNullable<Recipe["lora"]>;
}

/**
 * The adapter that a run left in `folder`, for a training of `model`.
 *
 * @throws MoxiError E_RUN_STATE if there is none; E_CONFIG_INVALID if its base model is another one
 */
export async function resolveAdapter(options: {
  readonly run: string;
  readonly folder: string;
  readonly recipe: Recipe;
  readonly model: Recipe["model"];
}): Promise<ResolvedAdapter> {
  const { run, folder, recipe, model } = options;
  const { lora } = recipe;
  if (lora === null) {
    throw new MoxiError("E_CONFIG_INVALID", `${run} trained every weight: it has no adapter`, {
      hint: `to go on from its model, use model: ${JSON.stringify(folder)}`,
      place: { field: "from" },
    });
  }
  refuseOtherBase(run, recipe.model, model);
  try {
    const files: [string, number, string][] = [];
    for (const name of adapterFiles) {
      const content = await readFile(join(folder, name));
      files.push([name, content.length, createHash("sha256").update(content).digest("hex")]);
    }
    return { run, folder, fingerprint: hashJson(files), lora };
  } catch (error) {
    if (systemCode(error) !== "ENOENT") throw error;
    throw new MoxiError("E_RUN_STATE", `${run} has left no adapter`, {
      hint: `moxi show ${run} tells how it ended; moxi resume ${run} goes on with it`,
      place: { file: folder },
      cause: error,
    });
  }
}

function refuseOtherBase(run: string, was: Recipe["model"], model: Recipe["model"]): void {
  if (model.id === toyModel) {
    throw new MoxiError("E_CONFIG_INVALID", `${toyModel} is made anew for every run`, {
      hint: "choose another model to go on from an adapter",
      place: { field: "from" },
    });
  }
  const differs = (["fingerprint", "revision"] as const).find((name) => was[name] !== model[name]);
  if (was.id === model.id && differs === undefined) return;
  const told = (one: Recipe["model"]) =>
    one.revision === null ? one.id : `${one.id} at ${one.revision.slice(0, 12)}`;
  const other = told(was) === told(model) ? `other files of ${was.id}` : told(was);
  throw new MoxiError("E_CONFIG_INVALID", `the adapter of ${run} was trained on ${other}`, {
    hint: `it fits no other base model: train ${told(was)}, or take from out`,
    place: { field: "from" },
  });
}
