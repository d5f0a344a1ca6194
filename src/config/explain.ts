import { isAbsolute, relative } from "node:path";
import { isRecord } from "../base/json.ts";
import type { LoadedConfig, Source } from "./loaded.ts";

/** One line of `moxi config`. */
export interface Explained extends Source {
  readonly key: string;
  /** `null`: not set; decided later from the data and the machine, or not needed. A secret is "set". */
  readonly value: string | number | boolean | readonly string[] | null;
}

/** Every setting with its value and where it comes from. It shows no secret. */
export function explain(loaded: LoadedConfig): Explained[] {
  const { config, aws, hubUrl, secrets, folder } = loaded;
  const outside = {
    endpoint: hubUrl,
    token: secrets.huggingFaceToken === undefined ? null : "set",
  };
  const dataset = relative(folder, config.dataset);
  const values = {
    ...config,
    dataset: isAbsolute(config.dataset) && !dataset.startsWith("..") ? dataset : config.dataset,
    aws,
    huggingFace: outside,
  };
  return Object.entries(loaded.sources).map(([key, source]) => ({
    key,
    value: valueAt(values, key),
    ...source,
  }));
}

function valueAt(values: object, key: string): Explained["value"] {
  let value: unknown = values;
  for (const name of key.split(".")) value = isRecord(value) ? value[name] : undefined;
  return (value ?? null) as Explained["value"];
}
