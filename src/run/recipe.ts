/** How the weights are trained: every weight, or a low-rank adapter on frozen (qlora: 4-bit) weights. */
export type Method = "lora" | "full" | "qlora";

export const methods: readonly Method[] = ["lora", "full", "qlora"];

/** What becomes of a row of more tokens than `maxSeqLength`. */
export type Overlong = "drop" | "truncate" | "error";

export const overlongs: readonly Overlong[] = ["drop", "truncate", "error"];

/** Whose weights the artifact holds: those of the lowest held-out loss, or the last ones. */
export type Keep = "best" | "last";

export const keeps: readonly Keep[] = ["best", "last"];

/** The toy base model, made on the spot from the training rows. */
export const toyModel = "moxi:tiny";

/**
 * Everything that changes what is learned, and nothing else: no hardware, no paths.
 * `null` means that the trainer decides by its printed rule; the rule is part of `trainer.code`.
 */
export interface Recipe {
  readonly formatVersion: 1;
  readonly model: {
    /** A Hugging Face id, a local folder as the user wrote it, or `moxi:tiny`. */
    readonly id: string;
    /** The commit of a hub model. */
    readonly revision: string | null;
    /** SHA-256 over the files of a local folder. */
    readonly fingerprint: string | null;
  };
  readonly dataset: {
    /** SHA-256 over the canonical rows of both sides of the split. */
    readonly fingerprint: string;
    readonly trainRows: number;
    readonly evalRows: number;
  };
  readonly method: Method;
  /** Set when `method` trains an adapter. */
  readonly lora: { readonly rank: number; readonly alpha: number; readonly dropout: number } | null;
  /** SHA-256 over the files of the adapter that training starts from; `null`: a fresh one. */
  readonly adapter: string | null;
  readonly training: {
    readonly epochs: number;
    /** Sequences per optimizer step, whatever the micro-batch. */
    readonly effectiveBatch: number;
    readonly learningRate: number;
    readonly schedule: "trapezoid" | "linear" | "cosine" | "constant";
    /** Share of all steps that warms up, 0 to 1. */
    readonly warmup: number;
    readonly weightDecay: number;
    readonly maxGradNorm: number;
    /** Tokens a row may have. */
    readonly maxSeqLength: number | null;
    readonly overlong: Overlong;
    /** Evaluations without a lower held-out loss that end the training; `null`: it goes to its end. */
    readonly earlyStopping: number | null;
    readonly keep: Keep;
    readonly seed: number;
  };
  readonly trainer: {
    /** SHA-256 over the training program's files. */
    readonly code: string;
    /** SHA-256 over its lock file. */
    readonly lock: string;
  };
}
