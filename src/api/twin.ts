import { join } from "node:path";
import { MoxiError } from "../base/errors.ts";
import type { Host } from "../base/host.ts";
import type { LoadedConfig } from "../config/loaded.ts";
import type { Plan } from "../run/plan.ts";
import { toyModel } from "../run/recipe.ts";
import type { Submission } from "../targets/target.ts";
import { runProgram } from "./program.ts";

type Folders = Pick<Submission, "modelFolder" | "adapterFolder">;

/** What a rehearsal trains in the model's place. */
export interface Twin extends Folders {
  /** `null` for the toy, which is small already. */
  readonly size: { readonly parameters: number; readonly layers: number } | null;
}

export interface TwinOptions {
  readonly loaded: LoadedConfig;
  readonly plan: Plan;
  readonly submission: Folders;
  readonly python: string;
  /** Where it is made. */
  readonly folder: string;
  /** Where libraries leave what they leave. */
  readonly temporary: string;
  readonly host: Host;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Makes a small twin of the plan's model, and of the adapter that it starts from. Of a model on the
 * hub nothing but its description is fetched.
 *
 * @throws E_SMOKE where it has no twin, with the cause
 */
export async function makeTwin(options: TwinOptions): Promise<Twin> {
  const { loaded, plan, submission, python, folder, temporary, host, signal } = options;
  const { id, revision } = plan.recipe.model;
  if (id === toyModel) return { ...submission, size: null };
  const modelFolder = join(folder, "model");
  const adapterFolder = submission.adapterFolder === null ? null : join(folder, "adapter");
  const task = { type: "task", id: "model" } as const;
  host.notify({ ...task, state: "started", text: `making a small twin of ${id}` });
  const source = submission.modelFolder ?? id;
  const program = ["moxi_train.shrink", "--model", source, "--output", modelFolder];
  const args = [
    ...program,
    ...(revision === null || submission.modelFolder !== null ? [] : ["--revision", revision]),
    ...(adapterFolder === null
      ? []
      : ["--adapter", submission.adapterFolder!, "--adapter-output", adapterFolder]),
  ];
  const told = await runProgram(python, args, { loaded, env: { TMPDIR: temporary }, signal });
  if (!told.ok) {
    const { why, hint } = told;
    throw new MoxiError("E_SMOKE", why, hint === undefined ? {} : { hint });
  }
  const size = told.value as { parameters: number; layers: number };
  host.notify({ ...task, state: "done", text: `a small twin of ${id}: ${size.layers} layers` });
  return { modelFolder, adapterFolder, size };
}
