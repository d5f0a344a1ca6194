import { join } from "node:path";
import { MoxiError } from "../base/errors.ts";
import { cacheFolder } from "../base/paths.ts";
import { readEnvironment } from "../config/environment.ts";
import { findProject } from "../config/find.ts";
import type { LoadedConfig } from "../config/loaded.ts";
import type { Plan, TargetName } from "../run/plan.ts";
import type { Target } from "../targets/target.ts";
import type { Context } from "./context.ts";
import { preparePython } from "./python.ts";
import { findTrainer } from "./trainer.ts";

/** What a target needs beside its name. */
export interface TargetParts {
  /** The run's plan, which says where in the cloud it is; needed to watch and to stop. */
  readonly plan?: Plan;
  /** The config; needed to plan and to submit. */
  readonly loaded?: LoadedConfig;
  /** A run will be submitted: what that needs of this machine is installed first. */
  readonly submits?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** Opens a target by its name. The only place that knows which targets there are. */
export async function openTarget(
  context: Context,
  name: TargetName,
  parts: TargetParts = {},
): Promise<Target> {
  switch (name) {
    case "local":
      return openLocal(context, parts);
    case "sagemaker":
      return openSageMaker(context, parts);
    case "ec2":
      throw new MoxiError("E_TARGET_UNAVAILABLE", `this version of Moxi cannot train on ${name}`, {
        hint: "train on SageMaker: moxi train --target sagemaker",
      });
  }
}

/** Variables that say that somebody uses AWS here; a region alone is often set for other programs. */
const awsVariables = [
  "AWS_PROFILE",
  "AWS_ACCESS_KEY_ID",
  "AWS_ACCESS_KEY",
  "AWS_WEB_IDENTITY_TOKEN_FILE",
  "AWS_CONTAINER_CREDENTIALS_FULL_URI",
  "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
  "AWS_S3_BUCKET",
  "AWS_ARN_ROLE",
];

/** The targets that may know runs which were started from other machines. */
export async function openElsewhere(
  context: Context,
  signal?: AbortSignal,
): Promise<readonly Target[]> {
  const environment = readEnvironment(findProject(context.cwd).folder, context.env);
  if (environment.find(...awsVariables) === undefined) return [];
  return [await openSageMaker(context, { signal })];
}

async function openLocal(
  context: Context,
  { loaded, submits = false, signal }: TargetParts,
): Promise<Target> {
  const { cwd, env, home, clock } = context;
  const { createLocalTarget } = await import("../targets/local/index.ts");
  return createLocalTarget({
    python: submits ? await preparePython(context, signal) : "python3",
    trainerFolder: findTrainer().folder,
    project: findProject(cwd).folder,
    env: loaded === undefined ? env : hubEnvironment(loaded),
    home,
    clock,
  });
}

async function openSageMaker(
  context: Context,
  { plan, loaded, signal }: TargetParts,
): Promise<Target> {
  const { cwd, home, host, clock } = context;
  const env = loaded?.env ?? readEnvironment(findProject(cwd).folder, context.env).toObject();
  const [{ openAws }, { createSageMakerTarget }] = await Promise.all([
    import("../aws/aws.ts"),
    import("../targets/sagemaker/index.ts"),
  ]);
  const region = plan?.cloud?.region;
  const aws = await openAws(
    { env, home, host },
    { ...(region && { region }), ...(signal && { signal }) },
  );
  const bucket = plan?.cloud?.bucket ?? env["AWS_S3_BUCKET"]?.trim();
  const options = { aws, host, clock, bucket, ...pollOption(env["MOXI_POLL_SECONDS"]) };
  if (loaded === undefined) return createSageMakerTarget(options);
  const { config, aws: place } = loaded;
  const wishes = { ...config, bucket: place.bucket, roleArn: place.roleArn };
  const cache = join(cacheFolder({ env, home }), "moxi");
  const token = loaded.secrets.huggingFaceToken;
  const sending = {
    hubUrl: loaded.hubUrl,
    fetchModel: modelFetcher(context, loaded, cache),
    wheels: wheelsFor(context, loaded, cache, signal),
    trainerFolder: findTrainer().folder,
    cache,
    scanCache: join(cache, "scanned.json"),
    secrets: secretValues(loaded),
    ...(token !== undefined && { variables: { HF_TOKEN: token } }),
  };
  return createSageMakerTarget({ ...options, wishes, sending });
}

function pollOption(seconds: string | undefined): { pollMs?: number } {
  if (seconds === undefined) return {};
  const value = Number(seconds);
  if (seconds.trim() !== "" && value > 0 && value <= 3600) return { pollMs: value * 1000 };
  throw new MoxiError(
    "E_CONFIG_INVALID",
    "MOXI_POLL_SECONDS must be a number of seconds, 0 to 3600",
    {
      hint: "unset it: a cloud run is then looked at every 15 to 30 seconds",
      place: { field: "MOXI_POLL_SECONDS" },
    },
  );
}

/** The locked packages of an image, from the user's own index; none where it has no lock, which a check tells. */
export function wheelsFor(
  { home, host, clock, fetch }: Context,
  { env, config }: LoadedConfig,
  cache: string,
  signal: AbortSignal | undefined,
) {
  return async (imageTag: string, how: "fetch" | "name") => {
    const { findImageLock } = await import("../bundle/image-lock.ts");
    const lock = await findImageLock(join(findTrainer().folder, "locks"), imageTag);
    if (lock === undefined) return [];
    const { fetchWheels, nameWheels } = await import("../bundle/wheels.ts");
    if (how === "name") return nameWheels(lock, cache);
    const { platform } = process;
    const sleep = clock.sleep.bind(clock);
    const index = config.packageIndex;
    return fetchWheels({ lock, cache, env, home, platform, host, fetch, sleep, signal, index });
  };
}

/** The files of a hub model, in the user's cache. */
function modelFetcher(
  { home, host, clock, fetch }: Context,
  { env, folder, secrets, hubUrl }: LoadedConfig,
  cache: string,
) {
  return async ({ id, revision }: Plan["recipe"]["model"]) => {
    const { downloadModel } = await import("../model/download.ts");
    const token = secrets.huggingFaceToken;
    const here = { home, env, cache, baseFolder: folder, host, clock, fetch };
    return downloadModel({ id, revision: revision!, token, hubUrl, ...here });
  };
}

/** What may stand in no file that leaves this machine. */
export function secretValues({ env, secrets }: LoadedConfig): string[] {
  const names = ["AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_SESSION_TOKEN"];
  const values = [secrets.huggingFaceToken, ...names.map((name) => env[name])];
  return values.filter((value) => value !== undefined && value !== "") as string[];
}

/** The trainer asks the same hub, with the same token, whatever name either was given by. */
export function hubEnvironment({ env, secrets, hubUrl }: LoadedConfig): Context["env"] {
  const { huggingFaceToken: token } = secrets;
  return { ...env, HF_ENDPOINT: hubUrl, ...(token === undefined ? {} : { HF_TOKEN: token }) };
}
