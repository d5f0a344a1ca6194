import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { openAws } from "../../src/aws/aws.ts";
import type { Aws } from "../../src/aws/aws.ts";
import type { Notice } from "../../src/base/host.ts";
import { bucket, credentials } from "./server.ts";
import type { S3Server } from "./server.ts";

export const mib = 1 << 20;

export interface Desk {
  readonly folder: string;
  readonly notices: Notice[];
  readonly options: {
    readonly bucket: typeof bucket;
    readonly host: { notify(notice: Notice): void };
    readonly clock: { now(): Date };
    readonly partBytes: number;
    readonly pauseMs: number;
  };
  /** Writes a file of random bytes and returns its path. */
  file(name: string, bytes: number): string;
  path(name: string): string;
  aws(url?: string, env?: Record<string, string>): Promise<Aws>;
  env(url?: string): Record<string, string>;
  close(): void;
}

/** A folder, and AWS opened as a user would, on a server of this machine. */
export function createDesk(server: S3Server): Desk {
  const folder = mkdtempSync(join(tmpdir(), "moxi-s3-desk-"));
  const notices: Notice[] = [];
  const opened: Aws[] = [];
  const path = (name: string) => join(folder, name);
  const host = { notify: (notice: Notice) => void notices.push(notice) };
  const env = (url = server.url) => ({
    ...credentials,
    AWS_REGION: "us-east-1",
    AWS_ENDPOINT_URL_S3: url,
    ...(server.tls === undefined ? {} : { AWS_CA_BUNDLE: server.tls.certificateFile }),
  });
  return {
    folder,
    notices,
    // The smallest parts that S3 takes; pauses that a test can wait for.
    options: { bucket, host, clock: { now: () => new Date() }, partBytes: 5 * mib, pauseMs: 2 },
    file(name, bytes) {
      mkdirSync(dirname(path(name)), { recursive: true });
      writeFileSync(path(name), randomBytes(bytes));
      return path(name);
    },
    path,
    async aws(url, more = {}) {
      const aws = await openAws({ env: { ...env(url), ...more }, home: folder, host });
      opened.push(aws);
      return aws;
    },
    env,
    close() {
      opened.forEach((aws) => aws.close());
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
