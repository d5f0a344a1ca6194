import type { TargetName, Tracker } from "../run/plan.ts";
import type { Keep, Method, Overlong } from "../run/recipe.ts";

/** What a user may write in `moxi.config.ts` (or .json); flags have the same names. Every field is optional. */
export interface UserConfig {
  /** The dataset's path, from the project's folder. Default: data/sft/training_dataset.json */
  dataset?: string;
  /** A Hugging Face id, a local folder, or `moxi:tiny` (a toy made on the spot). Default: moxi:tiny */
  model?: string;
  /** The commit, branch or tag of a hub model. */
  revision?: string;
  /** `lora` trains a small adapter, `qlora` one on 4-bit weights (NVIDIA GPUs), `full` every weight. Default: lora, and full for moxi:tiny. */
  method?: Method;
  /** Go on from the adapter of another run: its id or a part of it. The base model must be the same. */
  from?: string;
  /** Where to train. Default: local, and sagemaker once AWS_ARN_ROLE is set. */
  target?: TargetName;
  /** Passes over the training rows. Default: 3 under 2,000 rows, 2 under 20,000, else 1. */
  epochs?: number;
  /** Sequences per optimizer step, whatever the machine. Default: 16, fewer under 200 rows. */
  effectiveBatch?: number;
  /** Sequences per forward pass. Default: what fits. */
  microBatch?: number;
  /** The highest step size. Default: 2e-4 for lora, 2e-5 for full. */
  learningRate?: number;
  /** How the learning rate falls. Default: trapezoid (in the last fifth of the steps) */
  schedule?: "trapezoid" | "linear" | "cosine" | "constant";
  /** Share of the steps that warms up, 0 to 1. Default: 0.03 */
  warmup?: number;
  /** Pull of the weights towards zero (AdamW). Default: 0 */
  weightDecay?: number;
  /** Longer gradients are cut to this length. Default: 1 */
  maxGradNorm?: number;
  /** Tokens a row may have. Default: what holds 99.5 % of the rows, within the model's context. */
  maxSeqLength?: number;
  /** What becomes of longer rows: `drop` leaves them out, `truncate` trains their beginning, `error` stops before the training. Default: drop */
  overlong?: Overlong;
  /** Trade time for memory. Default: only where memory needs it. */
  gradientCheckpointing?: boolean;
  /** Where every random choice starts. Default: 42 */
  seed?: number;
  /** Adapter settings for the methods `lora` and `qlora`. */
  lora?: {
    /** Size of the adapter. Default: 16 */
    rank?: number;
    /** Strength of the adapter. Default: twice the rank. */
    alpha?: number;
    /** Share of the adapter's inputs that is dropped in training, 0 to 1. Default: 0 */
    dropout?: number;
  };
  /** Which field of the rows is what, where Moxi does not know the names. */
  columns?: {
    /** What the user says. */
    prompt?: string;
    /** What the model should answer. */
    completion?: string;
    /** Follows the prompt after an empty line. */
    context?: string;
    /** What stands before the conversation. */
    system?: string;
    /** A conversation: a list of {role, content}. */
    messages?: string;
    /** Text without sides, learned as it is. */
    text?: string;
  };
  /** Levels of dataset rules, such as ["duplicate=error", "personal-data=off"]: error, warning, info or off. */
  rules?: string[];
  /** Warnings of the dataset check are errors. */
  strict?: boolean;
  /** Train without the rows that have errors, instead of refusing. */
  skipBadRows?: boolean;
  /** How held-out rows are chosen. */
  split?: {
    /** Share of the rows that is held out, 0 to 0.5. Default: 0.05 */
    evalFraction?: number;
    /** At most this many held-out rows. Default: 500 */
    maxEvalRows?: number;
    /** A field of the rows: rows with the same value stay on the same side. It is never trained on. */
    groupBy?: string;
  };
  /** Score the held-out rows every so many steps. Default: about ten times a run. */
  evalEverySteps?: number;
  /** Keep a checkpoint every so many steps. Default: with every evaluation. */
  saveEverySteps?: number;
  /** Answer the prompts every so many steps. Default: about three times on the way. */
  sampleEverySteps?: number;
  /** End after this many evaluations without a lower held-out loss. Default: never */
  earlyStopping?: number;
  /** Keep the weights of the lowest held-out loss (`best`), or the `last` ones. Default: best */
  keep?: Keep;
  /** Prompts to generate from before, during and after training. Default: two held-out rows. */
  prompts?: string[];
  /** Where metrics also go: tensorboard, wandb, mlflow, comet, trackio. Default: nowhere. */
  trackers?: Tracker[];
  /** New tokens a sample generation may have. Default: 128 */
  generationTokens?: number;
  /** Stop, with a checkpoint, after this many hours. On AWS: a day, if nobody says so. */
  maxHours?: number;
  /** Stop, with a checkpoint, before the run costs more than this many US dollars. */
  maxUsd?: number;
  /** The AWS machine to train on. Default: ml.g5.2xlarge */
  instance?: string;
  /** Up to four machines to take where AWS has none of `instance` to give, in this order, with as many GPUs. Default: none */
  fallbacks?: string[];
  /** Take a spot machine: cheaper, and AWS may take it away; the run goes on from its checkpoint. Default: false */
  spot?: boolean;
  /** What SageMaker is asked for beside the machine. */
  sagemaker?: {
    /** The container image: the tag of one of AWS's Hugging Face training images, or the address of your own; with @sha256:… behind it, that very one. */
    image?: string;
    /** Disk of a machine that has none of its own, in GB. Default: 100 */
    volumeGb?: number;
    /** Hours that waiting for a spot machine and training may take together. Default: a day more than `maxHours` */
    maxWaitHours?: number;
    /** Keep the machine, and pay for it, so many minutes for the next run. Default: not */
    warmPoolMinutes?: number;
    /** How often SageMaker tries again after an error of its own, 1 to 30. Default: 2 */
    retries?: number;
    /** Subnets of your VPC that the job runs in. */
    subnets?: string[];
    /** Security groups of your VPC. */
    securityGroups?: string[];
    /** KMS key that encrypts what is sent, what the job leaves, and a disk that is not the machine's own. Default: AWS's own */
    kmsKey?: string;
    /** Cut the job off from the network, all but its data. Default: false */
    networkIsolation?: boolean;
    /** Copy the hub's model into the bucket once, and train from there. Default: for gated models, and with networkIsolation */
    mirrorModel?: boolean;
  };
  /** The index that a job's Python packages are fetched from, such as https://index.example/simple. Default: the one that uv or pip is set to use. */
  packageIndex?: string;
}

/** A config with every default that does not depend on the data filled in. */
export interface Config extends Omit<
  UserConfig,
  "dataset" | "model" | "method" | "target" | "split" | "lora"
> {
  readonly dataset: string;
  readonly model: string;
  readonly method: Method;
  readonly target: TargetName;
  readonly split: {
    readonly evalFraction: number;
    readonly maxEvalRows: number;
    readonly groupBy?: string;
  };
  readonly lora: { readonly rank: number; readonly alpha: number; readonly dropout: number };
}

/** Settings of the outside world: read from the environment and `.env`, never from flags. */
export interface Secrets {
  readonly huggingFaceToken?: string;
}

/** Gives a config its type; returns it as it is. */
export function defineConfig(config: UserConfig): UserConfig {
  return config;
}
