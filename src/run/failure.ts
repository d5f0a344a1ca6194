/** What kind of thing ended a run that failed. */
export type FailureKind =
  | "out of memory"
  | "not a number"
  | "gated model"
  | "disk full"
  | "no capacity"
  | "quota"
  | "image"
  | "permissions"
  | "service"
  | "program";

/** Why a run failed, as far as its words tell, and what to change. */
export interface Failure {
  readonly kind: FailureKind;
  readonly hint: string;
}

/** Where the run was: what can be changed depends on it. */
export interface Surroundings {
  readonly run: string;
  readonly machine: string;
  /** The machine is rented. */
  readonly paid: boolean;
}

interface Rule {
  readonly kind: FailureKind;
  /** Over the words of the training program, of Python's libraries and of the provider. */
  readonly words: RegExp;
  readonly hint: (where: Surroundings) => string;
}

// The first that fits counts: what names the cause stands before what only names the place.
// The provider's prefixes ("CapacityError:", "ClientError:", "InternalServerError:") are SageMaker's.
const rules: readonly Rule[] = [
  {
    kind: "no capacity",
    words: /\bCapacityError\b|insufficient ?capacity|unable to provision|no spot machine came/i,
    hint: ({ run }) =>
      `AWS had no such machine to give: name others with --fallbacks, choose another region, or try later with moxi resume ${run}`,
  },
  {
    kind: "quota",
    words: /\bResourceLimitExceeded\b|account-level service limit/i,
    hint: () =>
      "request a higher quota, or wait until another job ends: moxi train checks it and prints the command",
  },
  {
    kind: "gated model",
    words: /\bis gated\b|gated ?repo|access to model .* is restricted|awaiting a review/i,
    hint: () =>
      "accept the model's licence on its page, and set HF_TOKEN to a token of that account",
  },
  {
    kind: "out of memory",
    words:
      /out ?of ?memory|can't allocate memory|not enough memory|\bMemoryError\b|killed \(signal 9\)/i,
    hint: ({ paid }) =>
      `lower --micro-batch or --max-seq-length, or set --gradient-checkpointing${paid ? "; or take a machine with more memory: --instance" : ""}`,
  },
  {
    kind: "not a number",
    words: /\bNaN\b|not finite|non-finite|not a number/i,
    hint: () => "lower --learning-rate: the weights of before are kept in the newest checkpoint",
  },
  {
    kind: "disk full",
    words: /no space left|\bENOSPC\b|disk quota exceeded/i,
    hint: ({ paid }) =>
      paid
        ? "raise --sagemaker-volume-gb, or take a machine with a larger disk of its own"
        : "free some space: df -h shows how much is left",
  },
  {
    kind: "image",
    words: /cannot find image|cannot ?pull ?container|image .*(?:not found|does not exist)/i,
    hint: () => "check --sagemaker-image, and that the role may read the registry",
  },
  {
    kind: "permissions",
    words:
      /access ?denied|not authorized to perform|lacks the permission|\bExpiredToken|\bUnrecognizedClient|\bNoCredentials|could not assume role/i,
    hint: () => "compare the role's policy with infra/policies/sagemaker-execution.json",
  },
  {
    kind: "service",
    words: /\bInternalServerError\b|internal error/i,
    hint: ({ run }) =>
      `the service failed, not the run: moxi resume ${run} goes on from its checkpoint`,
  },
];

/** Tells the kind of a failure by its words; what no rule knows is the training program's own. */
export function failureOf(error: string, where: Surroundings): Failure {
  const rule = rules.find(({ words }) => words.test(error));
  if (rule !== undefined) return { kind: rule.kind, hint: rule.hint(where) };
  return { kind: "program", hint: `moxi logs ${where.run} shows all that it printed` };
}
