// What the commands about datasets share.

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
