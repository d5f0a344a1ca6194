import { judgeAccount, lookAtAccount } from "../../account/check-account.ts";
import type { Look } from "../../account/check-account.ts";
import { readPrice } from "../../account/price.ts";
import { imageParts } from "../../account/wanted.ts";
import type { Place } from "../../account/wanted.ts";
import type { Aws } from "../../aws/aws.ts";
import { MoxiError } from "../../base/errors.ts";
import type { Host } from "../../base/host.ts";
import { looksLikePath } from "../../base/paths.ts";
import type { TargetStatus } from "../../run/attempt.ts";
import type { Price } from "../../run/cost.ts";
import type { RunEvent } from "../../run/event.ts";
import type { CloudSettings, Machine, Plan } from "../../run/plan.ts";
import { toyModel } from "../../run/recipe.ts";
import { lockHolder } from "../../store/lock.ts";
import { runLock } from "../../store/runs.ts";
import type { Capabilities, Reading, RunRef, Target } from "../target.ts";
import { checkPlan } from "./constraints.ts";
import type { InputOptions } from "./inputs.ts";
import { keptInputs } from "./kept.ts";
import { cloudOf } from "./limits.ts";
import { checkPackages } from "./packages.ts";
import { machineOf, placeOf, settlePlace } from "./place.ts";
import type { Wishes } from "./place.ts";
import { endArrived, isBeginning, readLogs, toldElsewhere } from "./read.ts";
import { listRuns, readRecord } from "./records.ts";
import { endStatus, hasEnded, hasStarted, liveStatus } from "./status.ts";
import { asksHub } from "./secrets.ts";
import type { SecretVariables } from "./secrets.ts";
import { readStory, withoutSteps } from "./story.ts";
import { rehearseSubmit, submitAttempt } from "./submit.ts";

export interface SageMakerOptions {
  readonly aws: Aws;
  readonly host: Host;
  readonly clock: { now(): Date; sleep(milliseconds: number): Promise<void> };
  /** What planning needs. */
  readonly wishes?: Wishes;
  /** What submitting needs. */
  readonly sending?: InputOptions & {
    /** Moxi's folder in the user's cache. */ readonly cache: string;
    /** What only the job may read, above all the Hugging Face token. */
    readonly variables?: SecretVariables;
  };
  /** The bucket that a plan or the user names: where runs are looked for first. */
  readonly bucket?: string | undefined;
  /** The least between two looks at a job, and half of the most: the service allows few requests a second. */
  readonly pollMs?: number;
  /** How long after a job's end its last lines may still arrive. */
  readonly drainMs?: number;
}

/** Trains in SageMaker training jobs: one job an attempt, under the attempt's name. */
export function createSageMakerTarget(options: SageMakerOptions): Target {
  const { aws, host, clock, wishes = {}, sending, bucket } = options;
  const { pollMs = 15_000, drainMs = 30_000 } = options;
  const capabilities: Capabilities = {
    spot: true,
    warmPool: true,
    maxNodes: 1,
    paid: true,
    remote: true,
    abort: false,
    pollMs: [pollMs, 2 * pollMs],
  };
  /** Attempts that were seen to go on, and when they were seen to have ended, by this clock. */
  const seen = new Map<string, Date | null>();
  const stories = new Map<string, Promise<readonly RunEvent[]>>();
  const prices = new Map<string, Promise<Price | undefined>>();

  function price({ machine, cloud }: Pick<Plan, "machine" | "cloud">): Promise<Price | undefined> {
    const instances = [machine.name, ...(cloud?.fallbacks ?? [])];
    const known = prices.get(instances.join());
    const asked = known ?? readPrice(aws, instances, clock.now());
    prices.set(instances.join(), asked);
    return asked;
  }

  const looks = new Map<string, Promise<Look>>();

  function lookAt(place: Place): Promise<Look> {
    // An image that is pinned by now is the one that was looked at by its tag.
    const { registry, repository } = imageParts(place.image) ?? {};
    const key = JSON.stringify({ ...place, image: [registry, repository] });
    const known = looks.get(key) ?? lookAtAccount(aws, place);
    looks.set(key, known);
    return known;
  }

  function prepare(): void {
    const machine = machineOf(wishes);
    // Whether the job needs the token is a guess still: wrong, the account is asked again.
    const { model = toyModel } = wishes;
    const asks = model !== toyModel && !looksLikePath(model);
    let cloud: CloudSettings;
    try {
      cloud = settlePlace(wishes, aws.settings.region);
    } catch {
      return; // whoever asks for it is told
    }
    const asked = [lookAt(accountPlace(cloud, machine, asks)), price({ machine, cloud })];
    for (const each of asked) each.catch(() => {});
  }

  async function preflight(plan: Plan) {
    checkPlan(plan);
    const settled = cloudOf({ plan, run: "this plan" });
    const { machine, limits } = plan;
    const place = accountPlace(settled, machine, asksHub(plan));
    const [look, cost, packages] = await Promise.all([
      lookAt(place),
      price(plan),
      sending === undefined ? [] : checkPackages(settled, sending.trainerFolder),
    ]);
    const keptSeconds = settled.warmPoolSeconds ?? 0;
    const wanted = { ...place, maxSeconds: limits.maxSeconds ?? 0, keptSeconds };
    const checks = judgeAccount(look, wanted, cost);
    return [...checks, packages].flat();
  }

  function accountPlace(settled: CloudSettings, machine: Machine, asks: boolean): Place {
    const { region, bucket, roleArn, image, spot, fallbacks, kmsKey, warmPoolSeconds } = settled;
    return {
      region,
      bucket,
      roleArn,
      image,
      spot,
      fallbacks,
      kmsKey,
      warmPool: warmPoolSeconds !== null,
      instance: machine.name,
      job: "moxi-preflight-a1", // no run has its name yet, and policies know only the prefix
      ...(asks && sending?.variables !== undefined && { secrets: { kmsKey } }),
    };
  }

  async function status({ attempt, folder }: RunRef): Promise<TargetStatus> {
    const sagemaker = await aws.sagemaker();
    const job = await sagemaker.describe(attempt.name);
    const now = clock.now();
    if (job === undefined) {
      if (attempt.submittedAt === null) {
        return (await lockHolder(runLock(folder))) === undefined
          ? { state: "gone", detail: "it was not submitted; the same command goes on with it" }
          : { state: "starting", detail: "files are being sent" };
      }
      // It may be so new that the service does not find it yet.
      const age = now.getTime() - Date.parse(attempt.submittedAt ?? attempt.at);
      return Math.abs(age) < newMs
        ? { state: "starting" }
        : { state: "gone", detail: "SageMaker has no such job" };
    }
    if (!hasEnded(job)) {
      seen.set(attempt.name, null);
      return liveStatus(job, now);
    }
    const end = endStatus(job);
    if (hasStarted(job)) {
      if (await endArrived(await aws.logs(), attempt)) return { ...end, state: "ended" };
      // Whoever was there counts from then: the service's clock may be another.
      if (seen.get(attempt.name) === null) seen.set(attempt.name, now);
      const endedAt = seen.get(attempt.name) ?? job.endedAt;
      if (now.getTime() - (endedAt?.getTime() ?? 0) < drainMs) {
        return { ...liveStatus(job, now), state: "running", detail: "waiting for the last lines" };
      }
    }
    return end;
  }

  async function read(ref: RunRef, cursor: string | null): Promise<Reading> {
    const { attempt } = ref;
    const page = await readLogs(await aws.logs(), attempt, cursor);
    if (cursor !== null || isBeginning(page)) return page;
    const job = await (await aws.sagemaker()).describe(attempt.name);
    if (job !== undefined && !hasEnded(job)) return page;
    // Long after its end: the log has expired, in whole or from its beginning.
    const events = (await readStory(aws, ref)).filter((event) => event.attempt === attempt.attempt);
    return events.length === 0 ? page : toldElsewhere(events);
  }

  async function milestones(ref: RunRef): Promise<readonly RunEvent[]> {
    const story = stories.get(ref.run) ?? readStory(aws, ref);
    stories.set(ref.run, story);
    const { attempt } = ref.attempt;
    return withoutSteps((await story).filter((event) => event.attempt === attempt));
  }

  async function stop(ref: RunRef, how: "checkpoint" | "abort"): Promise<void> {
    const sagemaker = await aws.sagemaker();
    // A job that is being submitted, or that the service does not find yet, would start after all.
    while ((await sagemaker.stop(ref.attempt.name)) === "missing") {
      const { state } = await status(ref);
      if (state === "ended" || state === "gone") return;
      await clock.sleep(Math.min(pollMs, soonMs));
    }
    if (how === "checkpoint") return;
    // The service knows no harder way; what is left is to see it through.
    for (;;) {
      const { state } = await status(ref);
      if (state === "ended" || state === "gone") return;
      await clock.sleep(pollMs);
    }
  }

  const toSend = () => {
    if (sending === undefined) throw new TypeError("a target that submits needs `sending`");
    return { ...sending, aws, host, clock };
  };

  return {
    name: "sagemaker",
    capabilities,
    machines: () => Promise.resolve([machineOf(wishes)]),
    prepare,
    cloud: (model) => placeOf(wishes, aws, model),
    price,
    preflight,
    occupant: () => Promise.resolve(null),
    kept: (refs) => keptInputs(aws, refs),
    submit: (submission) => submitAttempt(submission, toSend()),
    rehearse: (submission) => rehearseSubmit(submission, toSend()),
    status,
    read,
    stop,
    list: (wanted) => listRuns(aws, wanted),
    record: (run, known) => readRecord(aws, run, bucket, known),
    milestones,
    fetch: async (ref, part, folder, told) => {
      const { fetchPart } = await import("./fetch.ts");
      return fetchPart(ref, part, folder, { aws, host, clock, told });
    },
    outputs: async ({ attempt }) => {
      const job = await (await aws.sagemaker()).describe(attempt.name);
      if (job?.artifact !== undefined) return { artifact: job.artifact };
      throw new MoxiError("E_RUN_STATE", `${attempt.name} has left no model`, {
        hint: `moxi show ${attempt.name} tells what became of it`,
      });
    },
  };
}

const newMs = 60_000;
/** How soon a job that is about to be there is asked for again: each second of it is paid. */
const soonMs = 2000;
