// Moves bytes to and from one S3 server on this machine, over TLS, with Moxi and with what people use:
//   node bench/s3.ts                                   4 GiB and 10,000 files, RTT 0 and 40 ms
//   node bench/s3.ts --mib 1024 --files 3000 --rtt 0 --rounds 3 --tools moxi,s5cmd --works large-down
// Needs Go (for versitygw, once), openssl, GNU time and a Python with venv; data lies in memory where
// /dev/shm has room, at most twice the large file. Every tool talks to the same server, in turns, with
// settings for speed; what goes up goes up anew, what comes down is the same object for all. The bare
// programs are no peers: they show what Node's own TLS takes (bench/s3/bare.ts). After the rounds Moxi
// runs once more with V8's profiler: how much of its processor time its own code takes, and what the
// ratio would be were that nothing: about the most that better code could reach while cores are busy.
import { spawn, spawnSync } from "node:child_process";
import {
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  rmSync,
  statfsSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { bundle } from "../scripts/build.ts";
import { buildVersitygw } from "../scripts/versitygw.ts";
import { bucket, credentials, startServer } from "../test/s3/server.ts";
import { ownSeconds } from "./s3/own-code.ts";
import { bare, commandOf, installPeers, peers } from "./s3/tools.ts";
import type { Work } from "./s3/tools.ts";

const { O_CREAT, O_RDWR } = constants;
const root = join(import.meta.dirname, "..");
const { values } = parseArgs({
  options: {
    mib: { type: "string", default: "4096" },
    files: { type: "string", default: "10000" },
    rtt: { type: "string", default: "0,40" },
    rounds: { type: "string", default: "1" },
    tools: { type: "string", default: ["moxi", ...peers, ...bare].join() },
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
// To put a large object together the server copies its parts, page by page where it leaves that to
// the kernel and they lie in memory.
const server = await startServer("versitygw", ["--disable-copy-file-range"]);
process.once("SIGINT", () => process.exit(130));
process.once("exit", () => {
  server.stop();
  rmSync(folder, { recursive: true, force: true });
  rmSync(join(root, "build", "bench-s3-holes"), { force: true });
});
const program = await buildMoxi();
const installed = installPeers();
for (const rtt of values.rtt.split(",").map(Number)) await compareAt(rtt);
process.exit();

async function compareAt(rtt: number): Promise<void> {
  const line = rtt === 0 ? undefined : await startLine(server.port, rtt);
  const port = line?.port ?? server.port;
  const url = `https://127.0.0.1:${port}`;
  const ca = server.tls!.certificateFile;
  const env = {
    PATH: process.env["PATH"],
    HOME: folder,
    ...credentials,
    AWS_REGION: "us-east-1",
    AWS_ENDPOINT_URL: url,
    S3_ENDPOINT_URL: url,
    AWS_CA_BUNDLE: ca,
    SSL_CERT_FILE: ca,
    // Their own defaults fail here on large uploads.
    AWS_REQUEST_CHECKSUM_CALCULATION: "when_required",
    // Moxi keeps its compiled code between calls, as wherever it is installed.
    NODE_COMPILE_CACHE: join(folder, "compiled"),
    AWS_MAX_CONCURRENT_REQUESTS: "64",
    RCLONE_CONFIG_B_TYPE: "s3",
    RCLONE_CONFIG_B_PROVIDER: "Other",
    RCLONE_CONFIG_B_ENV_AUTH: "true",
    RCLONE_CONFIG_B_ENDPOINT: url,
    RCLONE_CONFIG_B_REGION: "us-east-1",
  };
  const rows: string[][] = [];
  for (const name of values.works.split(",")) {
    const [kind, direction] = name.split("-") as [Work["kind"], Work["direction"]];
    // Small files over a line are a matter of how many are on their way at once.
    const isBare = direction === "down" && (kind === "large" || rtt === 0);
    const tools = values.tools.split(",").filter((tool) => isBare || !bare.has(tool));
    rows.push(...(await compareWork({ name, kind, direction }, tools, env, line?.pid)));
  }
  process.stdout.write(
    `\nRTT ${rtt} ms, ${mib} MiB in one file, ${count} files of 10 KiB\n\n` +
      "| work | tool | time | best peer's time / this | the server alone, at the end | without that | CPU | server's CPU | cores busy | peak memory | own code | were that nothing |\n" +
      `|---|---|---|---|---|---|---|---|---|---|---|---|\n${rows.map((row) => `| ${row.join(" | ")} |\n`).join("")}`,
  );
}

type Env = Readonly<Record<string, string | undefined>>;

/** One work by each tool, in turns; rows of the table. */
async function compareWork(
  work: Work & { readonly name: string },
  tools: readonly string[],
  env: Env,
  line: number | undefined,
): Promise<string[][]> {
  const { kind, direction } = work;
  const here = join(folder, kind);
  const back = join(folder, "back");
  const at = { folder, installed, program, ca: env["AWS_CA_BUNDLE"]!, count, mib };
  const stored = join(server.data!, bucket.name);
  makeData(kind);
  rmSync(stored, { recursive: true, force: true });
  mkdirSync(stored);
  if (direction === "down") {
    const sent = await measure(commandOf("moxi", { kind, direction: "up" }, at), env);
    if (typeof sent === "string") throw new Error(sent);
    rmSync(here, { recursive: true });
  }
  const results = new Map<string, Measured[]>(tools.map((name) => [name, []]));
  const prepare = () => {
    rmSync(back, { recursive: true, force: true });
    mkdirSync(back);
    if (kind === "large") fillMemory();
  };
  for (let round = 0; round < Number(values.rounds); round++) {
    // Each round begins with another, because the first may find a machine that has rested.
    const first = round % tools.length;
    for (const name of [...tools.slice(first), ...tools.slice(0, first)]) {
      prepare();
      const measured = await measure(commandOf(name, work, at), env, line);
      if (typeof measured === "string") {
        process.stderr.write(`${name} ${work.name}: ${measured}\n`);
        continue;
      }
      results.get(name)!.push(measured);
      const place = join(stored, direction === "down" ? "moxi" : name, kind);
      const other = direction === "down" ? back : here;
      if (name === "moxi" || name === "bare-write") requireSame(place, other);
      if (direction === "up") rmSync(place, { recursive: true });
      process.stderr.write(
        `${work.name} ${name}: ${measured.seconds.toFixed(2)} s, ${measured.cpu.toFixed(2)} CPU-s, the server ${measured.serverCpu.toFixed(2)}, ${measured.megabytes} MB\n`,
      );
    }
  }
  prepare();
  const own = tools.includes("moxi") ? await ownShare(commandOf("moxi", work, at), env) : 0;
  rmSync(back, { recursive: true });
  rmSync(here, { recursive: true, force: true });
  const ofPeers = [...results].filter(([name]) => name !== "moxi" && !bare.has(name));
  const active = ({ seconds, waited }: Measured) => seconds - waited;
  const best = Math.min(...ofPeers.map(([, list]) => median(list)?.seconds ?? Infinity));
  const bestActive = Math.min(
    ...ofPeers.flatMap(([, list]) => median(list) ?? []).map((one) => active(one)),
  );
  const share = (cpu: number) =>
    kind === "large"
      ? `${((cpu * 1024) / mib).toFixed(2)} s/GiB`
      : `${((cpu * 1000) / count).toFixed(2)} ms/file`;
  return [...results].map(([name, list]) => {
    const one = median(list);
    if (one === undefined) return [work.name, name, "failed"];
    const { seconds, waited, cpu, serverCpu, lineCpu, megabytes } = one;
    const all = cpu + serverCpu + lineCpu;
    const busy = all / seconds / availableParallelism();
    // Only large objects that are sent have something to wait for.
    const waits = work.name === "large-up";
    return [
      work.name,
      name,
      `${seconds.toFixed(2)} s`,
      `${(best / seconds).toFixed(2)} x`,
      waits ? `${waited.toFixed(2)} s` : "",
      waits ? `${(bestActive / active(one)).toFixed(2)} x` : "",
      share(cpu),
      share(serverCpu),
      percent(busy),
      `${megabytes} MB`,
      ...(name === "moxi"
        ? [percent(own), `${((best / seconds) * (all / (all - own * cpu))).toFixed(2)} x`]
        : []),
    ];
  });
}

function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}

/** How much of the processor time that Moxi takes is spent in its own code; see {@link ownSeconds}. */
async function ownShare([node, ...args]: readonly string[], env: Env): Promise<number> {
  const profiles = join(folder, "profiles");
  const flags = ["--cpu-prof", "--cpu-prof-dir", profiles];
  const measured = await measure([node!, ...flags, ...args], env);
  if (typeof measured === "string") throw new Error(measured);
  const own = ownSeconds(profiles) / measured.cpu;
  rmSync(profiles, { recursive: true });
  return own;
}

/**
 * A virtual machine gives memory that is free back to its host, and gets it again at an eighth of the
 * speed at which it is written (0.3 against 2.5 GB/s where this was found): most of what putting 4 GiB
 * together takes. So all of it is filled with what the kernel gives up at once: a file of holes, read.
 */
function fillMemory(): void {
  // No Linux.
  if (!existsSync("/proc/meminfo")) return;
  const [, kilobytes] = /^MemAvailable: +(\d+)/m.exec(readFileSync("/proc/meminfo", "utf8"))!;
  const file = openSync(join(root, "build", "bench-s3-holes"), O_RDWR | O_CREAT);
  const piece = Buffer.alloc(1 << 20);
  const bytes = Number(kilobytes) * 1024 - (1 << 30);
  ftruncateSync(file, Math.max(0, bytes));
  while (readSync(file, piece) > 0);
  closeSync(file);
}

function makeData(kind: Work["kind"]): void {
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
async function buildMoxi(): Promise<string> {
  const built = join(folder, "program");
  await bundle(join(built, "dist"));
  mkdirSync(join(built, "bin"));
  for (const name of ["package.json", "bin/moxi.cjs"]) {
    copyFileSync(join(root, name), join(built, name));
  }
  return join(built, "bin", "moxi.cjs");
}

/** Puts the server so many milliseconds away; returns the port that is that far from it, and the process. */
async function startLine(
  port: number,
  rtt: number,
): Promise<{ readonly port: number; readonly pid: number }> {
  const built = join(folder, "line");
  const { status, stderr } = spawnSync("go", ["build", "-o", built, "bench/s3/line.go"], {
    cwd: root,
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(stderr);
  const line = spawn(built, [`${port}`, `${rtt}`], { stdio: ["pipe", "pipe", "inherit"] });
  const [said] = (await once(line.stdout, "data")) as [Buffer];
  return { port: Number(said.toString()), pid: line.pid! };
}

interface Measured {
  readonly seconds: number;
  readonly cpu: number;
  readonly megabytes: number;
  /** Of the server meanwhile; not a number where there is no /proc. */
  readonly serverCpu: number;
  /** Of the line between them, where there is one. */
  readonly lineCpu: number;
  /** Seconds since the server had the last part of an object: it puts them together. */
  readonly waited: number;
}

/** Runs a command; what it took, or why it failed. */
async function measure(
  command: readonly string[],
  env: Env,
  line?: number,
): Promise<Measured | string> {
  const taken = (): readonly number[] => [cpuOf(server.pid), line === undefined ? 0 : cpuOf(line)];
  const before = taken();
  const args = ["-f", "MEASURED %e %U %S %M", ...command];
  const child = spawn("/usr/bin/time", args, { env, stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
  let parts = 0;
  let grown = performance.now();
  const timer = setInterval(() => {
    const now = partsStored();
    if (now > parts) grown = performance.now();
    parts = Math.max(parts, now);
  }, 50);
  const [status] = (await once(child, "close")) as [number];
  clearInterval(timer);
  const ended = performance.now();
  const [serverCpu = 0, lineCpu = 0] = taken().map((now, index) => now - before[index]!);
  const found = /MEASURED (\S+) (\S+) (\S+) (\d+)/.exec(said);
  if (status !== 0 || found === null) return said.slice(0, 400);
  const [seconds = 0, user = 0, system = 0, kilobytes = 0] = found.slice(1).map(Number);
  return {
    seconds,
    cpu: user + system,
    megabytes: Math.round(kilobytes / 1000),
    serverCpu,
    lineCpu,
    waited: parts === 0 ? 0 : (ended - grown) / 1000,
  };
}

/** How many parts the server keeps of objects that are not whole yet. */
function partsStored(): number {
  const kept = join(server.data!, bucket.name, ".sgwtmp");
  try {
    return readdirSync(kept, { recursive: true }).length;
  } catch {
    // Removed meanwhile, or none yet.
    return 0;
  }
}

/** CPU-seconds that a process has taken, of Linux's hundredths. */
function cpuOf(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /s, "")
      .split(" ");
    return (Number(fields[11]) + Number(fields[12])) / 100;
  } catch {
    // No Linux.
    return Number.NaN;
  }
}

function requireSame(one: string, other: string): void {
  const { status } = spawnSync("diff", ["-r", one, other]);
  if (status !== 0) throw new Error("what arrived is not what went");
}

function median(list: readonly Measured[]): Measured | undefined {
  return list.toSorted((a, b) => a.seconds - b.seconds)[list.length >> 1];
}
