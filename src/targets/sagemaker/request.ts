import type { CreateTrainingJobRequest } from "../../aws/sagemaker.ts";
import type { CloudSettings, Plan } from "../../run/plan.ts";
import { encryptsDisk } from "./constraints.ts";

/** A folder of the job's, filled from S3 before it starts. */
export interface Channel {
  /** Below /opt/ml/input/data/. */
  readonly name: string;
  /** Ends in "/". */
  readonly prefix: string;
}

export interface RequestParts {
  /** The attempt's name: the job's, and what makes a second submission harmless. */
  readonly name: string;
  readonly run: string;
  readonly plan: Plan;
  readonly cloud: CloudSettings;
  /** Of the machines that the plan allows, the one that this attempt asks for. */
  readonly instance: string;
  /** The service ends the job after so long. */
  readonly maxSeconds: number;
  readonly channels: readonly Channel[];
  /** The model hub that the job asks. */
  readonly hubUrl?: string | undefined;
}

/** Where a run's checkpoints and its story live, ending in "/": the same for every attempt. */
export function checkpointPrefix(run: string): string {
  return `moxi/checkpoints/${run}/`;
}

/**
 * The whole request for one attempt. The job reads its settings from job.json, so that nothing of
 * the recipe, and no secret, stands in hyperparameters or variables, which the service shows to
 * everybody who may look at the job.
 */
export function trainingJobRequest(parts: RequestParts): CreateTrainingJobRequest {
  const { name, run, plan, cloud, channels, hubUrl } = parts;
  const { bucket, kmsKey, subnets, securityGroups } = cloud;
  const input = "/opt/ml/input/data";
  return {
    TrainingJobName: name,
    RoleArn: cloud.roleArn,
    AlgorithmSpecification: {
      TrainingImage: cloud.image,
      TrainingInputMode: "File",
      ContainerEntrypoint: ["python3", "-u", `${input}/moxi/bootstrap.py`],
      ContainerArguments: ["--job", `${input}/job/job.json`],
      MetricDefinitions: metrics,
    },
    InputDataConfig: channels.map((channel) => ({
      ChannelName: channel.name,
      InputMode: "File",
      DataSource: {
        S3DataSource: {
          S3DataType: "S3Prefix",
          S3Uri: `s3://${bucket}/${channel.prefix}`,
          S3DataDistributionType: "FullyReplicated",
        },
      },
    })),
    OutputDataConfig: {
      S3OutputPath: `s3://${bucket}/moxi/models/checkpoints`,
      CompressionType: "NONE", // packing gigabytes of weights would be paid time
      ...(kmsKey !== null && { KmsKeyId: kmsKey }),
    },
    CheckpointConfig: { S3Uri: `s3://${bucket}/${checkpointPrefix(run)}` },
    ResourceConfig: resources(parts),
    ...stopping(parts),
    ...(cloud.retries !== null && { RetryStrategy: { MaximumRetryAttempts: cloud.retries } }),
    ...(subnets.length > 0 && {
      VpcConfig: { Subnets: [...subnets], SecurityGroupIds: [...securityGroups] },
    }),
    // The service itself still fills the channels and takes the model; the container reaches nobody.
    ...(cloud.networkIsolation && { EnableNetworkIsolation: true }),
    Environment: {
      MOXI_RUN_ID: run,
      MOXI_PLAN_HASH: plan.planHash,
      HF_HOME: "/tmp/hf", // on the big volume; the home is not
      ...(hubUrl !== undefined && { HF_ENDPOINT: hubUrl }),
    },
    // Its debugger writes to S3 and takes memory; the run tells its own story.
    ProfilerConfig: { DisableProfiler: true },
    Tags: [
      { Key: "moxi:managed", Value: "true" },
      { Key: "moxi:run", Value: run },
      { Key: "moxi:plan", Value: plan.planHash },
    ],
  };
}

type Resources = NonNullable<CreateTrainingJobRequest["ResourceConfig"]>;

/** The machine. On demand the service takes the first of several types that it has; on spot it takes one. */
function resources({ instance, cloud }: RequestParts): Resources {
  const { spot, fallbacks, kmsKey, volumeGigabytes, warmPoolSeconds } = cloud;
  const types = (spot ? [instance] : [instance, ...fallbacks]) as Resources["InstanceType"][];
  return {
    ...(types.length === 1
      ? { InstanceType: types[0] }
      : { InstancePreferences: types.map((InstanceType) => ({ InstanceType })) }),
    InstanceCount: 1, // without one in each preference, it holds for all of them
    VolumeSizeInGB: volumeGigabytes,
    ...(kmsKey !== null && encryptsDisk(types as string[]) && { VolumeKmsKeyId: kmsKey }),
    ...(warmPoolSeconds !== null && { KeepAlivePeriodInSeconds: warmPoolSeconds }),
  };
}

/** How long it may take: on spot, waiting for a machine too. */
function stopping({
  maxSeconds: MaxRuntimeInSeconds,
  cloud: { spot, maxWaitSeconds },
}: RequestParts): Pick<
  CreateTrainingJobRequest,
  "StoppingCondition" | "EnableManagedSpotTraining"
> {
  if (!spot) return { StoppingCondition: { MaxRuntimeInSeconds } };
  const MaxWaitTimeInSeconds = Math.max(MaxRuntimeInSeconds, maxWaitSeconds ?? 0);
  return {
    EnableManagedSpotTraining: true,
    StoppingCondition: { MaxRuntimeInSeconds, MaxWaitTimeInSeconds },
  };
}

/** The service reads these out of the log, for its own console. The events have all of them and more. */
const metrics = ["loss", "learningRate", "gradNorm", "tokensPerSecond"].map((name) => ({
  Name: name,
  Regex: `^@moxi:\\S+ .*"type":"step".*"${name}":([0-9.eE+-]+)`,
}));
