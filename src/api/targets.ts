import { MoxiError } from "../base/errors.ts";
import { findProject } from "../config/find.ts";
import type { LoadedConfig } from "../config/loaded.ts";
import type { TargetName } from "../run/plan.ts";
import type { Target } from "../targets/target.ts";
import type { Context } from "./context.ts";
import { findTrainer } from "./trainer.ts";

/** What a target needs to plan and submit, and not to watch or stop. */
export interface TargetParts {
  readonly loaded: LoadedConfig;
  /** The interpreter that trains on this machine; needed to submit. */
  readonly python?: string;
}

/** Opens a target by its name. The only place that knows which targets there are. */
export async function openTarget(
  { cwd, env, home, clock }: Context,
  name: TargetName,
  parts?: TargetParts,
): Promise<Target> {
  switch (name) {
    case "local": {
      const { createLocalTarget } = await import("../targets/local/index.ts");
      return createLocalTarget({
        python: parts?.python ?? "python3",
        trainerFolder: findTrainer().folder,
        project: findProject(cwd).folder,
        env: parts === undefined ? env : hubEnvironment(parts.loaded),
        home,
        clock,
      });
    }
    case "sagemaker":
    case "ec2":
      throw new MoxiError("E_TARGET_UNAVAILABLE", `this version of Moxi cannot train on ${name}`, {
        hint: "train on this machine: moxi train --target local",
        details: parts === undefined ? [] : missingSettings(parts.loaded),
      });
  }
}

/** What training on AWS will need beside a version that can, and that is not there yet. */
function missingSettings({ aws, env }: LoadedConfig): string[] {
  const hasKeys = Object.keys(env).some((name) =>
    /^AWS_(?:ACCESS_KEY|PROFILE|WEB_IDENT)/.test(name),
  );
  return [
    aws.roleArn === undefined && "AWS_ARN_ROLE is not set: the role that the training job runs as",
    aws.bucket === undefined && "AWS_S3_BUCKET is not set: where data and models live",
    aws.region === undefined && "AWS_REGION is not set",
    !hasKeys && "no AWS credentials in the environment or .env (a profile or SSO may give them)",
  ].filter((text) => text !== false);
}

/** The trainer asks the same hub, with the same token, whatever name either was given by. */
export function hubEnvironment({ env, secrets, hubUrl }: LoadedConfig): Context["env"] {
  const { huggingFaceToken: token } = secrets;
  return { ...env, HF_ENDPOINT: hubUrl, ...(token === undefined ? {} : { HF_TOKEN: token }) };
}
