import type { Explained } from "../config/explain.ts";
import type { LoadedConfig } from "../config/loaded.ts";
import type { Context } from "./context.ts";

export interface ConfigOptions {
  /** Settings by their config key, e.g. `{ epochs: 2 }`: stronger than every other source. */
  readonly flags?: Readonly<Record<string, unknown>> | undefined;
}

/** Every setting with its value and where it comes from. */
export interface ConfigReport {
  readonly formatVersion: 1;
  readonly file: string | null;
  readonly folder: string;
  readonly settings: readonly Explained[];
  readonly warnings: readonly string[];
}

/**
 * Reads the config and tells where each value comes from. Secrets are "set" or not.
 *
 * @throws MoxiError E_CONFIG_INVALID, E_CONFIG_UNREADABLE, E_CONFIG_AMBIGUOUS
 */
export async function config(context: Context, options: ConfigOptions = {}): Promise<ConfigReport> {
  const [loaded, { explain }] = await Promise.all([
    load(context, options.flags),
    import("../config/explain.ts"),
  ]);
  return {
    formatVersion: 1,
    file: loaded.file,
    folder: loaded.folder,
    settings: explain(loaded),
    warnings: loaded.warnings,
  };
}

/** Loads the config with the schemas that check it, which cost time and are needed by few verbs. */
export async function load(
  context: Context,
  flags: Readonly<Record<string, unknown>> = {},
): Promise<LoadedConfig> {
  const { loadConfig } = await import("../config/load.ts");
  const { cwd, env, home } = context;
  return loadConfig({ cwd, env, home, flags, libraryUrl: libraryUrl() });
}

/** What `import "moxi"` means in a user's config: this very library, from source or bundled. */
function libraryUrl(): string {
  const index = import.meta.url.endsWith(".ts") ? "../index.ts" : "./index.js";
  return new URL(index, import.meta.url).href;
}
