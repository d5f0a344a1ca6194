// What several commands take, with the same words everywhere.

const text = (input: string) => input;

export const json = {
  kind: "boolean",
  brief: "print for programs: JSON on stdout",
  default: false,
  withNegated: false,
} as const;

export const wait = {
  kind: "boolean",
  brief: "wait while another run uses this machine, instead of refusing",
  default: false,
  withNegated: false,
} as const;

export const pull = {
  kind: "boolean",
  brief: "bring a cloud run's model here at its end; --no-pull leaves it",
  default: true,
} as const;

export const yes = {
  kind: "boolean",
  brief: "agree to what it can cost (a local run costs nothing)",
  default: false,
  withNegated: false,
} as const;

export type RunArgs = [run?: string];

/** The run that a command is about. */
export const runArgument = {
  kind: "tuple",
  parameters: [
    {
      brief: "its id, or how that begins or ends (the newest run)",
      placeholder: "run",
      parse: text,
      optional: true,
    },
  ],
} as const;
