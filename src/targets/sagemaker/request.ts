import type { CreateTrainingJobRequest } from "../../aws/sagemaker.ts";
import type { CloudSettings, Plan } from "../../run/plan.ts";

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
  /** The service ends the job after so long. */
  readonly maxSeconds: number;
  readonly channels: readonly Channel[];
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
  const { name, run, plan, cloud, maxSeconds, channels } = parts;
  const { bucket } = cloud;
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
    },
    CheckpointConfig: { S3Uri: `s3://${bucket}/${checkpointPrefix(run)}` },
    ResourceConfig: {
      InstanceType: plan.machine.name as NonNullable<
        CreateTrainingJobRequest["ResourceConfig"]
      >["InstanceType"],
      InstanceCount: 1,
      VolumeSizeInGB: cloud.volumeGigabytes,
    },
    StoppingCondition: { MaxRuntimeInSeconds: maxSeconds },
    Environment: {
      MOXI_RUN_ID: run,
      MOXI_PLAN_HASH: plan.planHash,
      HF_HOME: "/tmp/hf", // on the big volume; the home is not
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

/** The service reads these out of the log, for its own console. The events have all of them and more. */
const metrics = ["loss", "learningRate", "gradNorm", "tokensPerSecond"].map((name) => ({
  Name: name,
  Regex: `^@moxi:\\S+ .*"type":"step".*"${name}":([0-9.eE+-]+)`,
}));
