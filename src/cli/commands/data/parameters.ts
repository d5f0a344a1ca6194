// What the commands about datasets share.

import { MoxiError } from "../../../base/errors.ts";

export type DatasetArgs = [path?: string];

export const datasetArgument = {
  kind: "tuple",
  parameters: [
    {
      brief: "a file or a folder (the config's dataset)",
      placeholder: "path",
      parse: (input: string) => input,
      optional: true,
    },
  ],
} as const;

/** `--out`: where a command writes; each says where that is by itself. */
export const outFlag = (placeholder: string, brief: string) =>
  ({
    kind: "parsed",
    brief,
    placeholder,
    parse: (input: string) => input,
    optional: true,
  }) as const;

/** `--max-places`: how much of what is alike is shown. */
export const maxPlacesFlag = (brief: string) =>
  ({
    kind: "parsed",
    brief,
    placeholder: "N|all",
    parse: (input: string) => input,
    optional: true,
  }) as const;

/** What Ctrl-C means for a command that only looks: nothing has to be cleaned up. */
export const looking = { message: "interrupted", hint: "run the same command again", graceMs: 0 };

/** What `--max-places` says; undefined if it is not given. @throws MoxiError E_USAGE */
export function placesOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (text === "all") return Infinity;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new MoxiError("E_USAGE", "--max-places takes a whole number or all", {
    hint: "e.g. --max-places 20",
    place: { field: "max-places" },
  });
}
