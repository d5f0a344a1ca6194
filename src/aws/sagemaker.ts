import {
  CreateTrainingJobCommand,
  DescribeTrainingJobCommand,
  ListTrainingJobsCommand,
  SageMakerClient,
  StopTrainingJobCommand,
  paginateListTrainingJobs,
} from "@aws-sdk/client-sagemaker";
import type {
  CreateTrainingJobRequest,
  DescribeTrainingJobResponse,
} from "@aws-sdk/client-sagemaker";
import { isMoxiError } from "../base/errors.ts";
import type { ClientParts } from "./aws.ts";

export type { CreateTrainingJobRequest } from "@aws-sdk/client-sagemaker";

/** One turn of a training job's life, in the service's words. */
export interface Turn {
  readonly status: string;
  readonly message: string;
  readonly at: Date | undefined;
  readonly endedAt: Date | undefined;
}

/** What the service says of a training job. */
export interface TrainingJob {
  readonly name: string;
  readonly status: string;
  readonly secondary: string;
  readonly turns: readonly Turn[];
  readonly failure: string | undefined;
  readonly endedAt: Date | undefined;
  /** Where the model lies or will lie: an S3 address. */
  readonly artifact: string | undefined;
  /** Where the checkpoints lie: an S3 address. */
  readonly checkpoints: string | undefined;
  readonly billedSeconds: number | undefined;
  readonly trainedSeconds: number | undefined;
  /** How long its machine was kept after it, and paid for, so far. */
  readonly keptSeconds: number | undefined;
  /** Where each channel is filled from: an S3 address. */
  readonly channels: Readonly<Record<string, string>>;
  /** The instance type; empty while the service chooses one of several. */
  readonly instance: string;
  /** How many of them. */
  readonly count: number;
  readonly spot: boolean;
  /** The environment of the container: what tells our jobs from a stranger's of the same name. */
  readonly environment: Readonly<Record<string, string>>;
}

/** A line of the service's list of jobs. */
export interface ListedJob {
  readonly name: string;
  readonly status: string;
  readonly createdAt: Date;
}

export type SageMaker = Awaited<ReturnType<typeof openSageMaker>>;

/** SageMaker's training jobs. */
export async function openSageMaker(parts: ClientParts) {
  const client = new SageMakerClient(await parts.config("sagemaker"));
  parts.onClose(() => client.destroy());

  return {
    /** Submits a job; "exists" when one of that name was submitted before, by whomever. */
    create: (request: CreateTrainingJobRequest): Promise<"created" | "exists"> =>
      parts.attempt(`submit the training job ${request.TrainingJobName}`, async () => {
        try {
          await client.send(new CreateTrainingJobCommand(request));
          return "created";
        } catch (error) {
          if (error instanceof Error && error.name === "ResourceInUse") return "exists";
          throw error;
        }
      }),

    /** Undefined where there is no such job, or where it is so new that it is not found yet. */
    describe: (name: string): Promise<TrainingJob | undefined> =>
      parts.attempt(`look at the training job ${name}`, async () => {
        try {
          const input = { TrainingJobName: name };
          return told(await client.send(new DescribeTrainingJobCommand(input)));
        } catch (error) {
          if (isMissing(error)) return undefined;
          throw error;
        }
      }),

    /** The names of the jobs that have not ended, anybody's in this account and region. */
    running: (): Promise<string[]> =>
      parts.attempt("list the training jobs", async () => {
        const inState = async (StatusEquals: "InProgress" | "Stopping") => {
          const names: string[] = [];
          const pages = paginateListTrainingJobs({ client }, { StatusEquals, MaxResults: 100 });
          for await (const { TrainingJobSummaries = [] } of pages) {
            for (const { TrainingJobName } of TrainingJobSummaries) names.push(TrainingJobName!);
          }
          return names;
        };
        const found = await Promise.all([inState("InProgress"), inState("Stopping")]);
        // One may have gone over while both were asked.
        return [...new Set(found.flat())];
      }),

    /** Jobs whose names contain a text, the newest first, as they are read: a page of them is one request. */
    async *list(contains: string): AsyncGenerator<ListedJob> {
      const input = {
        NameContains: contains,
        SortBy: "CreationTime",
        SortOrder: "Descending",
        MaxResults: 100,
      } as const;
      let token: string | undefined;
      do {
        const page = await parts.attempt("list the training jobs", () =>
          client.send(new ListTrainingJobsCommand({ ...input, NextToken: token })),
        );
        for (const {
          TrainingJobName,
          TrainingJobStatus,
          CreationTime,
        } of page.TrainingJobSummaries ?? []) {
          yield {
            name: TrainingJobName ?? "",
            status: TrainingJobStatus ?? "",
            createdAt: CreationTime ?? new Date(0),
          };
        }
        token = page.NextToken;
      } while (token !== undefined);
    },

    /** Asks a job to end; "missing" where there is none, or where it is so new that it is not found yet. */
    stop: (name: string): Promise<"asked" | "ended" | "missing"> =>
      parts.attempt(`stop the training job ${name}`, async () => {
        try {
          await client.send(new StopTrainingJobCommand({ TrainingJobName: name }));
          return "asked";
        } catch (error) {
          if (isMissing(error)) return "missing";
          if (error instanceof Error && error.name === "ValidationException") return "ended";
          throw error;
        }
      }),
  };
}

function told(job: DescribeTrainingJobResponse): TrainingJob {
  return {
    name: job.TrainingJobName ?? "",
    status: job.TrainingJobStatus ?? "",
    secondary: job.SecondaryStatus ?? "",
    turns: (job.SecondaryStatusTransitions ?? []).map((turn) => ({
      status: turn.Status ?? "",
      message: turn.StatusMessage ?? "",
      at: turn.StartTime,
      endedAt: turn.EndTime,
    })),
    failure: job.FailureReason,
    endedAt:
      job.TrainingEndTime ?? (job.FailureReason === undefined ? undefined : job.LastModifiedTime),
    artifact: job.ModelArtifacts?.S3ModelArtifacts,
    checkpoints: job.CheckpointConfig?.S3Uri,
    billedSeconds: job.BillableTimeInSeconds,
    trainedSeconds: job.TrainingTimeInSeconds,
    keptSeconds: job.WarmPoolStatus?.ResourceRetainedBillableTimeInSeconds,
    channels: Object.fromEntries(
      (job.InputDataConfig ?? []).map(({ ChannelName, DataSource }) => [
        ChannelName ?? "",
        DataSource?.S3DataSource?.S3Uri ?? "",
      ]),
    ),
    instance: job.ResourceConfig?.SelectedInstanceType ?? job.ResourceConfig?.InstanceType ?? "",
    count: job.ResourceConfig?.InstanceCount ?? 1,
    spot: job.EnableManagedSpotTraining ?? false,
    environment: job.Environment ?? {},
  };
}

/** SageMaker has no error of its own for it: the words are all that there is. */
function isMissing(error: unknown): boolean {
  if (!(error instanceof Error) || isMoxiError(error)) return false;
  return (
    error.name === "ResourceNotFound" ||
    (error.name === "ValidationException" && /resource not found/i.test(error.message))
  );
}
