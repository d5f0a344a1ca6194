import { bare } from "../../flags.ts";
import { json } from "../parameters.ts";

export interface StorageFlags {
  readonly json: boolean;
}

export type StorageArgs = [source: string, target: string];

const place = (placeholder: string, brief: string) =>
  ({ placeholder, brief, parse: (input: string) => input }) as const;

export const storageParameters = {
  flags: bare({ json }),
  positional: {
    kind: "tuple",
    parameters: [
      place("src", "a file, a folder, or s3://BUCKET/KEY"),
      place("dst", "where it goes; one of the two is on S3. A slash at the end: into that folder"),
    ],
  },
} as const;
