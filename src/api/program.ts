import { printable } from "../base/format.ts";
import { isRecord } from "../base/json.ts";
import type { LoadedConfig } from "../config/loaded.ts";
import { hubEnvironment } from "./targets.ts";
import { findTrainer } from "./trainer.ts";

/** What a program of the training package told: its result, or why there is none. */
export type Told =
  | { readonly ok: true; readonly value: Readonly<Record<string, unknown>> }
  | { readonly ok: false; readonly why: string; readonly hint: string | undefined };

export interface ProgramOptions {
  readonly loaded: LoadedConfig;
  /** Variables beside the user's. */
  readonly env?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs a module of moxi_train whose last line on stdout is one JSON object: the result, or
 * `{"error": {"message", "hint"}}`. Only the caller's own abort throws (E_INTERRUPTED).
 */
export async function runProgram(
  python: string,
  args: readonly string[],
  { loaded, env = {}, signal }: ProgramOptions,
): Promise<Told> {
  const { execute } = await import("../python/execute.ts");
  const trainer = findTrainer().folder;
  const done = await execute(python, ["-m", ...args], {
    env: { ...hubEnvironment(loaded), ...env, PYTHONPATH: trainer, PYTHONHOME: undefined },
    cwd: trainer,
    signal,
  });
  const value = lastJson(done.stdout);
  if (done.ok && value !== undefined) return { ok: true, value };
  const error = isRecord(value?.["error"]) ? value["error"] : {};
  const { message, hint } = error;
  const said = done.stderr.trim().split("\n").at(-1) || "it was ended from outside";
  return {
    ok: false,
    why: printable(typeof message === "string" ? message : said),
    hint: typeof hint === "string" ? printable(hint) : undefined,
  };
}

function lastJson(stdout: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
