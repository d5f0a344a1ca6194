import type { Aws } from "../../aws/aws.ts";
import type { RunEvent } from "../../run/event.ts";
import { parseEvent } from "../lines.ts";
import type { RunRef } from "../target.ts";
import { bucketOf, cloudOf } from "./limits.ts";
import { checkpointPrefix } from "./request.ts";

/**
 * The run's story as its checkpoints keep it: the only copy in S3, of all attempts, written by the
 * supervisor and synced by the service a little later than the log. Empty before anything was synced.
 * Whoever may write to the bucket can have written it: what is no event in every field is left out.
 */
export async function readStory(aws: Aws, ref: RunRef): Promise<RunEvent[]> {
  const { run } = ref;
  const bucket = bucketOf(cloudOf(ref));
  const text = await (await aws.s3()).read(bucket, `${checkpointPrefix(run)}events.ndjson`);
  if (text === undefined) return [];
  const { eventSchema } = await import("../../run/schemas.ts");
  return text
    .split("\n")
    .flatMap((line) => parseEvent(line) ?? [])
    .filter((event) => event.run === run && eventSchema.safeParse(event).success);
}

/** Without its steps, of which the newest is enough. */
export function withoutSteps(events: readonly RunEvent[]): RunEvent[] {
  const newest = events.findLastIndex(({ type }) => type === "step");
  return events.filter(({ type }, index) => type !== "step" || index === newest);
}
