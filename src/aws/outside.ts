import type { Host } from "../base/host.ts";

/** What this layer takes from the outside; the library's Context has it all. */
export interface Outside {
  /** With `.env` beneath it, where there is one. Nothing here reads the process's own. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string;
  readonly host: Host;
}

/** The first of some variables that is set; an empty one counts as unset. */
export function variable(env: Outside["env"], ...names: readonly string[]): string | undefined {
  return names
    .map((name) => env[name]?.trim())
    .find((value) => value !== undefined && value !== "");
}
