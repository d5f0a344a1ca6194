import type { Aws } from "../../aws/aws.ts";
import type { Bucket, ObjectInfo, S3 } from "../../aws/s3.ts";
import { isMoxiError, MoxiError } from "../../base/errors.ts";
import { hashJson } from "../../base/hash.ts";
import { isRecord } from "../../base/json.ts";
import { attemptName } from "../../run/attempt.ts";
import type { Attempt } from "../../run/attempt.ts";
import type { RunStatus } from "../../run/fold.ts";
import { runIdPattern } from "../../run/id.ts";
import type { Plan } from "../../run/plan.ts";
import type { KeptRun, ListedRun, ListOptions } from "../target.ts";
import { bucketOf } from "./limits.ts";

/** More than any plan or attempt is long. */
const mostBytes = 4 << 20;

/**
 * The account's runs in this region, by the service's own list of jobs: it needs no bucket, and
 * knows jobs that were started from anywhere.
 */
export async function listRuns(
  aws: Aws,
  { contains = "moxi-", limit }: ListOptions,
): Promise<ListedRun[]> {
  const sagemaker = await aws.sagemaker();
  const runs = new Map<string, ListedRun>();
  for await (const { name, status, createdAt } of sagemaker.list(contains)) {
    const [, run = "", digits = ""] = /^(.+)-a([1-9]\d*)$/.exec(name) ?? [];
    const attempt = Number(digits);
    if (!runIdPattern.test(run) || run.length > 55) continue;
    const known = runs.get(run);
    // The newest so many are told whole once the list has come to an older one.
    if (known === undefined && runs.size === limit) break;
    if (known !== undefined && known.attempt >= attempt) continue;
    const at = createdAt.toISOString();
    // Map keeps the place of the first: the newest attempt's.
    runs.set(run, { run, attempt, at, status: statusOf(status) });
  }
  return [...runs.values()];
}

function statusOf(status: string): RunStatus {
  switch (status) {
    case "Completed":
      return "succeeded";
    case "Failed":
      return "failed";
    case "Stopped":
      return "stopped";
    case "Stopping":
      return "stopping";
    default:
      return "running";
  }
}

/**
 * Reads what `submit` has put into S3 of a run. All of it is taken to be hostile: a plan that is
 * not what its hash says, or names another bucket, is none.
 *
 * @param named the bucket that the user names, where no plan is known; without the run in it, the
 *   service is asked where the run keeps its checkpoints, and only a bucket of the same account is
 *   read
 * @throws E_RUN_FOLDER for what cannot be a run, E_AWS_DENIED for a stranger's bucket
 */
export async function readRecord(
  aws: Aws,
  run: string,
  named: string | undefined,
  known: KeptRun | undefined,
): Promise<KeptRun | undefined> {
  const s3 = await aws.s3();
  const cloud = known?.plan.cloud;
  const asked = cloud ? bucketOf(cloud) : named === undefined ? undefined : { name: named };
  const found =
    (asked === undefined ? undefined : await filesIn(s3, asked, run)) ??
    (known === undefined ? await filesByJob(aws, s3, run, named) : undefined);
  if (found === undefined) return undefined;
  const { bucket, files } = found;
  const text = async (name: string) => readText(s3, bucket, files.get(name)!);
  const plan =
    known?.plan ??
    (await readPlan(await text("plan.json"), uriOf(bucket, run, "plan.json"), bucket));
  const attempts: Attempt[] = [];
  for (let number = 1; files.has(`attempts/${number}.json`); number++) {
    const newest = !files.has(`attempts/${number + 1}.json`);
    const old = known?.attempts[number - 1];
    // The newest is always read: another machine may have been quicker to make it than this one.
    if (old !== undefined && !newest) attempts.push(old);
    else {
      const name = `attempts/${number}.json`;
      const attempt = await readAttempt(await text(name), run, number, uriOf(bucket, run, name));
      refuseMachine(attempt, plan, uriOf(bucket, run, name));
      attempts.push(attempt);
    }
  }
  if (attempts.length === 0) return undefined; // it is being submitted
  return { plan, attempts };
}

interface Files {
  readonly bucket: Bucket;
  /** By their names below the run's prefix. */
  readonly files: ReadonlyMap<string, ObjectInfo>;
}

async function filesIn(s3: S3, bucket: Bucket, run: string): Promise<Files | undefined> {
  const prefix = `moxi/runs/${run}/`;
  const objects = await s3.list(bucket, prefix).catch((error: unknown) => {
    if (isMoxiError(error) && error.code === "E_S3_BUCKET") return [];
    throw error;
  });
  const files = new Map(objects.map((each) => [each.key.slice(prefix.length), each]));
  return files.has("plan.json") ? { bucket, files } : undefined;
}

/** By the run's first job, which every run has. */
async function filesByJob(
  aws: Aws,
  s3: S3,
  run: string,
  named: string | undefined,
): Promise<Files | undefined> {
  const job = await (await aws.sagemaker()).describe(attemptName(run, 1));
  const name = /^s3:\/\/([^/]+)\//.exec(job?.checkpoints ?? "")?.[1];
  if (name === undefined || name === named) return undefined;
  const { account } = await (await aws.sts()).identity();
  try {
    return await filesIn(s3, { name, owner: account }, run);
  } catch (error) {
    if (!isMoxiError(error) || error.code !== "E_AWS_DENIED") throw error;
    throw new MoxiError(
      "E_AWS_DENIED",
      `${run} keeps its files in s3://${name}: ${error.message}`,
      {
        hint: `that bucket may be another account's; if you trust it, set AWS_S3_BUCKET=${name}`,
        cause: error,
      },
    );
  }
}

async function readText(s3: S3, bucket: Bucket, { key, size }: ObjectInfo): Promise<string> {
  if (size > mostBytes) throw damaged(`s3://${bucket.name}/${key}`, "it is far too large");
  return (await s3.read(bucket, key)) ?? "";
}

async function readPlan(text: string, uri: string, bucket: Bucket): Promise<Plan> {
  const { planSchema } = await import("../../run/schemas.ts");
  const parsed = planSchema.safeParse(parse(text, uri));
  if (!parsed.success) {
    const field = parsed.error.issues[0]!.path.join(".");
    throw damaged(uri, `${field || "the whole"} is not as it must be`);
  }
  const { decisions: _, planHash, ...hashed } = parsed.data;
  if (planHash !== hashJson(hashed)) throw damaged(uri, "it does not have its planHash");
  if (parsed.data.target !== "sagemaker") throw damaged(uri, "it is the plan of another target");
  const place = parsed.data.cloud?.bucket;
  if (place !== bucket.name)
    throw damaged(uri, "it is the plan of a run that keeps its files elsewhere");
  return parsed.data;
}

async function readAttempt(
  text: string,
  run: string,
  number: number,
  uri: string,
): Promise<Attempt> {
  const { attemptSchema } = await import("../../run/schemas.ts");
  const value = parse(text, uri);
  // How far its own machine had come with handing it over is no news of the run.
  if (isRecord(value)) delete value["submittedAt"];
  const parsed = attemptSchema.safeParse(value);
  const { attempt, name } = parsed.data ?? {};
  if (parsed.success && attempt === number && name === attemptName(run, number)) return parsed.data;
  throw damaged(uri, `it is not attempt ${number} of ${run}`);
}

/** `resume` asks for the machine of the newest attempt again: it must be one that the plan was agreed to with. */
function refuseMachine({ target, machine }: Attempt, plan: Plan, uri: string): void {
  const machines = [plan.machine.name, ...(plan.cloud?.fallbacks ?? [])];
  if (target === plan.target && (machine === undefined || machines.includes(machine))) return;
  throw damaged(uri, "it asks for a machine that its plan does not name");
}

/** @throws E_RUN_FOLDER for what is no JSON */
export function parse(text: string, uri: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw damaged(uri, `it is no JSON: ${error instanceof Error ? error.message : ""}`);
  }
}

function uriOf(bucket: Bucket, run: string, name: string): string {
  return `s3://${bucket.name}/moxi/runs/${run}/${name}`;
}

function damaged(uri: string, why: string): MoxiError {
  return new MoxiError("E_RUN_FOLDER", `${uri} cannot be read as part of a run: ${why}`, {
    hint: "somebody has changed it, or a newer version of Moxi has written it",
    place: { file: uri },
  });
}
