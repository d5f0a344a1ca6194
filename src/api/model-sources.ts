import type { LoadedConfig } from "../config/loaded.ts";
import type { Context } from "./context.ts";

/** Where a base model is looked for, whichever it is: folders beside the config, the cache, the hub. */
export function modelSources(
  { home, fetch }: Context,
  { folder, secrets, hubUrl, env }: LoadedConfig,
) {
  return { baseFolder: folder, token: secrets.huggingFaceToken, hubUrl, fetch, home, env };
}
