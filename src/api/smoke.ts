import { copyFile, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MoxiError } from "../base/errors.ts";
import { cacheFolder } from "../base/paths.ts";
import type { LoadedConfig } from "../config/loaded.ts";
import type { RunEvent } from "../run/event.ts";
import { hasEnded } from "../run/fold.ts";
import type { View } from "../run/fold.ts";
import { newRunId } from "../run/id.ts";
import type { Plan } from "../run/plan.ts";
import { newAttempt } from "../store/runs.ts";
import { follow } from "../targets/follow.ts";
import type { RunRef, Target } from "../targets/target.ts";
import { load } from "./config.ts";
import type { Context } from "./context.ts";
import { foldRun } from "./open.ts";
import { planAt, readPlan } from "./plan-run.ts";
import { preparePython } from "./python.ts";
import { awaitMachine } from "./ready.ts";
import type { WhenBusy } from "./ready.ts";
import { differencesOf, rehearsedJob } from "./rehearsal.ts";
import type { Difference } from "./rehearsal.ts";
import { hubEnvironment, secretValues, wheelsFor } from "./targets.ts";
import { findTrainer } from "./trainer.ts";
import { makeTwin } from "./twin.ts";
import type { Update } from "./watch.ts";

export interface SmokeOptions {
  /** Settings by their config key: stronger than every other source. */
  readonly flags?: Readonly<Record<string, unknown>> | undefined;
  /** A plan that was saved, to be rehearsed. */
  readonly plan?: string | undefined;
  /** When a run trains on this machine: refuse (the default), or wait for it. */
  readonly whenBusy?: WhenBusy | undefined;
  /** Called with what is new of the rehearsal. */
  readonly onUpdate?: ((update: Update) => void) | undefined;
  /** Ends the rehearsal, and leaves nothing of it. */
  readonly signal?: AbortSignal | undefined;
}

export interface SmokeResult {
  readonly formatVersion: 1;
  readonly succeeded: boolean;
  readonly differences: readonly Difference[];
  /** Its model is gone again. */
  readonly view: View;
  /** What was printed, as a file; kept where it failed. */
  readonly log: string | null;
}

/**
 * Rehearses a job of the cloud on this machine: its very files in the layout of its container, its
 * supervisor, its training program, for two steps, on a small twin of its model. Asks AWS for
 * nothing, needs no account, and leaves nothing but the log of a failure.
 *
 * @throws MoxiError what `train` throws before the start, apart from what only AWS knows; E_SMOKE
 * where the model has no twin; E_INTERRUPTED
 */
export async function smoke(context: Context, options: SmokeOptions = {}): Promise<SmokeResult> {
  const loaded = await load(context, options.flags);
  for (const text of loaded.warnings) context.host.notify({ type: "warning", text });
  const saved =
    options.plan === undefined ? undefined : await readPlan(context.cwd, options.plan, loaded);
  const target = saved?.target ?? loaded.config.target;
  if (target !== "sagemaker") {
    const message = `--smoke rehearses a job of SageMaker, and the target is ${target}`;
    const hint = "moxi train --target sagemaker --smoke";
    throw new MoxiError("E_USAGE", message, { hint, place: { field: "target" } });
  }
  const scratch = await mkdtemp(join(tmpdir(), "moxi-smoke-"));
  try {
    return await rehearse(context, loaded, { ...options, saved, scratch });
  } finally {
    await rm(scratch, { recursive: true, force: true, maxRetries: 5 });
  }
}

interface Scene extends SmokeOptions {
  readonly saved: Plan | undefined;
  /** A folder that is removed afterwards. */
  readonly scratch: string;
}

async function rehearse(
  context: Context,
  loaded: LoadedConfig,
  { saved, scratch, signal, ...options }: Scene,
): Promise<SmokeResult> {
  const { host, home, clock } = context;
  const { offlinePlace } = await import("../targets/sagemaker/offline.ts");
  const wishes = { ...loaded.config, bucket: loaded.aws.bucket, roleArn: loaded.aws.roleArn };
  const place = offlinePlace(wishes, loaded.aws.region);
  const data = join(scratch, "rows", "data");
  await mkdir(data, { recursive: true });
  const temporary = join(scratch, "tmp");
  await mkdir(temporary);
  const { plan, submission } = await planAt(context, loaded, { place, saved, data });

  const python = await preparePython(context, signal);
  const packages = await imagePackages(context, loaded, { plan, python, signal });
  const folder = join(scratch, "twin");
  const parts = { loaded, plan, submission, python, folder, temporary, host, signal };
  const twin = await makeTwin(parts);
  const { modelFolder, adapterFolder } = twin;

  const [{ createLocalTarget }, { layOutContainer }] = await Promise.all([
    import("../targets/local/index.ts"),
    import("../targets/sagemaker/container.ts"),
  ]);
  const trainerFolder = findTrainer().folder;
  const sent = { wheels: packages.wheels, trainerFolder, secrets: secretValues(loaded) };
  const target = createLocalTarget({
    python,
    trainerFolder,
    project: scratch,
    env: { ...containerEnvironment(loaded), TMPDIR: temporary },
    home,
    clock,
    fill: (each) => layOutContainer(each, sent, (job) => rehearsedJob(job, machine!)),
  });
  const [machine] = await target.machines();
  await awaitMachine(context, target, { ...options, signal });

  const now = clock.now();
  const run = newRunId(now);
  const attempt = newAttempt(run, 1, plan.target, now);
  const ref = { run, folder: join(scratch, "ml"), plan, attempt };
  await target.submit({ ...ref, ...submission, modelFolder, adapterFolder });
  const shown = { ...ref, plan: { ...plan, machine: machine! } };
  const view = await seeThrough(target, ref, shown, { ...options, clock, signal });
  const succeeded = view.status === "succeeded";
  const hasToken = loaded.secrets.huggingFaceToken !== undefined;
  return {
    formatVersion: 1,
    succeeded,
    differences: differencesOf({ ...packages, plan, machine: machine!, twin, view, hasToken }),
    view: { ...view, artifact: null },
    log: succeeded ? null : await keepLog(ref),
  };
}

/** The image's locked wheels where this Python takes them, and what is known of both. */
async function imagePackages(
  context: Context,
  loaded: LoadedConfig,
  { plan, python, signal }: { plan: Plan; python: string; signal: AbortSignal | undefined },
) {
  const [{ findImageLock }, { askPython, takesWheels }] = await Promise.all([
    import("../bundle/image-lock.ts"),
    import("../bundle/this-python.ts"),
  ]);
  const locks = join(findTrainer().folder, "locks");
  const lock = await findImageLock(locks, plan.cloud?.imageTag ?? "");
  const here = await askPython(python, loaded.env);
  const tookWheels = lock !== undefined && takesWheels(lock, here);
  if (lock === undefined) {
    const { checkPackages } = await import("../targets/sagemaker/packages.ts");
    const { message: text, hint } = await checkPackages(plan.cloud!, findTrainer().folder);
    context.host.notify({ type: "warning", text, ...(hint && { hint }) });
  } else {
    const count = `the ${lock.wheels.length} packages locked for the image`;
    const text = tookWheels
      ? `${count} are installed here as in the job`
      : `${count} do not fit Python ${here.version} here: Moxi's own environment takes their place`;
    context.host.notify({ type: "task", id: "packages", state: "done", text });
  }
  const cache = join(cacheFolder({ env: loaded.env, home: context.home }), "moxi");
  const fetched = wheelsFor(context, loaded, cache, signal);
  const wheels = tookWheels ? fetched : () => Promise.resolve([]);
  return { lock, python: here, tookWheels, wheels };
}

/** A container has no keys of ours; and the twin is here, so that nothing needs the hub. */
function containerEnvironment(loaded: LoadedConfig): Context["env"] {
  const ours = Object.entries(hubEnvironment(loaded)).filter(([name]) => !name.startsWith("AWS_"));
  return { ...Object.fromEntries(ours), HF_HUB_OFFLINE: "1" };
}

interface Watching extends Pick<SmokeOptions, "onUpdate" | "signal"> {
  readonly clock: Context["clock"];
}

/** Follows the rehearsal to its end; whatever ends the following ends the rehearsal too. */
async function seeThrough(
  target: Target,
  ref: RunRef,
  shown: RunRef,
  { onUpdate, signal, clock }: Watching,
): Promise<View> {
  const record = { ...shown, attempts: [shown.attempt] };
  const events: RunEvent[] = [];
  let view: View | undefined;
  try {
    for await (const news of follow(target, [ref], { clock, signal })) {
      events.push(...news.events);
      view = foldRun(record, events, news.status);
      onUpdate?.({ view, events: news.events, logs: news.logs });
    }
  } finally {
    if (view === undefined || !hasEnded(view.status)) await target.stop(ref, "abort");
  }
  if (view !== undefined && hasEnded(view.status)) return view;
  throw new MoxiError("E_INTERRUPTED", "the rehearsal was interrupted; nothing of it is left");
}

async function keepLog(ref: RunRef): Promise<string> {
  const { attemptFiles } = await import("../targets/local/files.ts");
  const kept = join(tmpdir(), `${ref.run}-smoke.log`);
  await copyFile(attemptFiles(ref).log, kept);
  return kept;
}
