import type { Config, Secrets } from "./config.ts";

/** The places where a setting can come from, strongest first. */
export const precedence = ["flag", "environment", ".env", "config file", "default"] as const;

export interface Source {
  readonly source: (typeof precedence)[number];
  /** "--epochs", "MOXI_EPOCHS", ".env:3", "moxi.config.ts:12"; for a default, who decides. */
  readonly where?: string;
}

/** AWS settings; credentials are the SDK's business. */
export interface AwsSettings {
  readonly region?: string;
  readonly bucket?: string;
  readonly roleArn?: string;
}

export interface LoadedConfig {
  /** `dataset` is absolute; a `model` that is a relative path starts from `folder`. */
  readonly config: Config;
  /** By dotted key, in the order of UserConfig; then aws.* and huggingFace.*. */
  readonly sources: Readonly<Record<string, Source>>;
  /** The config file, absolute. */
  readonly file: string | null;
  /** The project's folder, absolute: the config file's, else where the command was given. */
  readonly folder: string;
  readonly secrets: Secrets;
  readonly aws: AwsSettings;
  /** The model hub, without a slash at the end. */
  readonly hubUrl: string;
  /** The environment with `.env` beneath it. It holds secrets: never print it. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly warnings: readonly string[];
}
