import {
  CloudWatchLogsClient,
  GetLogEventsCommand,
  paginateDescribeLogStreams,
} from "@aws-sdk/client-cloudwatch-logs";
import type { ClientParts } from "./aws.ts";

/** Some lines of a log stream, and where the next ones are. */
export interface LogPage {
  readonly lines: readonly string[];
  /** Stays the same at the stream's end. */
  readonly next: string;
}

export type Logs = Awaited<ReturnType<typeof openLogs>>;

/** CloudWatch Logs, for reading. */
export async function openLogs(parts: ClientParts) {
  const client = new CloudWatchLogsClient(await parts.config("cloudwatch_logs"));
  parts.onClose(() => client.destroy());

  return {
    /** The names of a group's streams with a prefix, in the order of the names; none where there is no group yet. */
    streams: (group: string, prefix: string): Promise<string[]> =>
      parts.attempt(`list the log streams of ${group}`, async () => {
        const found: string[] = [];
        try {
          const input = { logGroupName: group, logStreamNamePrefix: prefix };
          for await (const page of paginateDescribeLogStreams({ client }, input)) {
            for (const { logStreamName } of page.logStreams ?? []) found.push(logStreamName!);
          }
        } catch (error) {
          // The service makes the group with an account's first job.
          if (!(error instanceof Error) || error.name !== "ResourceNotFoundException") throw error;
        }
        return found.sort();
      }),

    /** Lines from a place on; without one from the stream's start. */
    page: (group: string, stream: string, from: string | undefined): Promise<LogPage> =>
      parts.attempt(`read the log stream ${stream}`, async () => {
        const { events = [], nextForwardToken } = await client.send(
          new GetLogEventsCommand({
            logGroupName: group,
            logStreamName: stream,
            startFromHead: true,
            ...(from === undefined ? {} : { nextToken: from }),
          }),
        );
        return {
          lines: events.map(({ message = "" }) => message),
          next: nextForwardToken ?? from ?? "",
        };
      }),

    /** The newest lines of a stream, oldest first. */
    tail: (group: string, stream: string, lines: number): Promise<string[]> =>
      parts.attempt(`read the end of the log stream ${stream}`, async () => {
        const { events = [] } = await client.send(
          new GetLogEventsCommand({
            logGroupName: group,
            logStreamName: stream,
            startFromHead: false,
            limit: lines,
          }),
        );
        return events.map(({ message = "" }) => message);
      }),
  };
}
