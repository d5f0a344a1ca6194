// Kills transfers at random bytes and lets the same command finish: `node test/soak-s3.ts [rounds] [seed]`.
// Each round a file goes to S3 and comes back, each way with a kill -9 after so many bytes. No object
// may be wrong, no file lost, no part sent again that S3 had, and no block fetched again that had come.
import { spawn } from "node:child_process";
import { existsSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { buildVersitygw } from "../scripts/versitygw.ts";
import { rangesAtOnce } from "../src/storage/blocks.ts";
import { rangeBytes, startFaults } from "./s3/faults.ts";
import { bucket, startServer } from "./s3/server.ts";
import { createDesk, mib } from "./s3/setup.ts";

const rounds = Number(process.argv[2] ?? 100);
const seed = Number(process.argv[3] ?? Date.now() % 1_000_000);
const partBytes = 5 * mib;
/** Short ones make long ranges of files that are small enough for a test. */
const blockSizes = [partBytes, mib / 4];

if (!(await buildVersitygw())) {
  process.stdout.write("no Go here, so that there is no S3 server to kill transfers against\n");
  process.exit(0);
}
const random = generator(seed);
const server = await startServer("versitygw");
const proxy = await startFaults(server);
const desk = createDesk(server);
const program = join(import.meta.dirname, "s3", "transfer.ts");
process.stdout.write(`${rounds} rounds, seed ${seed}\n`);

let killed = 0;
let kept = 0;
try {
  for (let round = 1; round <= rounds; round++) {
    const size = Math.floor(random() * 30 * mib) + 1;
    const path = desk.file("file", size);
    const remote = `s3://${bucket.name}/soak-${round}/`;
    const from = proxy.seen.length;
    const killedUp = await killAt(random() * size, ["up", path, remote], partBytes);
    const had = parts(from);
    const then = proxy.seen.length;
    await finish(["up", path, remote], partBytes);
    // A kill after the end finds a finished object, which is replaced.
    const resumable = killedUp && !finished(from, then);
    const twice = resumable ? [...parts(then)].filter((part) => had.has(part)) : [];
    if (twice.length > 0) throw new Error(`round ${round}: parts ${twice.join()} were sent twice`);

    const folder = desk.path("back");
    rmSync(folder, { recursive: true, force: true });
    const blockBytes = blockSizes[Math.floor(random() * blockSizes.length)]!;
    const killedDown = await killAt(random() * size, ["down", remote, folder], blockBytes);
    // What has its name is whole, whenever it appeared.
    check(round, folder, path, false);
    const noted = blocksNoted(folder);
    const beforeRest = proxy.seen.length;
    await finish(["down", remote, folder], blockBytes);
    check(round, folder, path, true);
    // Those under way may be noted, and not yet written.
    const most = size - (noted - rangesAtOnce) * blockBytes;
    if (killedDown && noted > rangesAtOnce && bytesAsked(beforeRest) > most) {
      throw new Error(`round ${round}: of ${noted} blocks that had come many were fetched again`);
    }
    kept += killedDown ? noted : 0;
    killed += Number(killedUp) + Number(killedDown);
    if (round % 10 === 0) process.stdout.write(`${round} rounds, ${killed} kills\n`);
  }
  process.stdout.write(
    `${rounds} rounds, ${killed} kills, ${kept} blocks gone on with: nothing wrong, lost or sent twice\n`,
  );
} finally {
  proxy.stop();
  desk.close();
  server.stop();
}

function start(args: readonly string[], bytes: number) {
  const env = {
    PATH: process.env["PATH"],
    HOME: desk.folder,
    ...desk.env(proxy.url),
    MOXI_TEST_PART_BYTES: `${bytes}`,
    MOXI_TEST_THREADS: random() < 0.5 ? "0" : "2",
  };
  const child = spawn(process.execPath, [program, ...args], {
    env,
    stdio: ["ignore", "ignore", "pipe"],
  });
  let errors = "";
  child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
  const ended = new Promise<{ code: number | null; errors: string }>((resolve) => {
    child.once("close", (code) => resolve({ code, errors }));
  });
  return { child, ended };
}

/** Kills a transfer while the request that crosses so many bytes is under way; false if it was done before. */
async function killAt(
  bytes: number,
  args: readonly string[],
  pieceBytes: number,
): Promise<boolean> {
  const { child, ended } = start(args, pieceBytes);
  let passed = 0;
  proxy.fault = (seen) => {
    const { operation, bytes: sent } = seen;
    const asked = rangeBytes(seen);
    passed += operation === "GetObject" ? asked : sent;
    if (passed < bytes) return undefined;
    const when = random();
    if (when < 0.3) {
      child.kill("SIGKILL");
      return { hangUp: "before" };
    }
    if (when < 0.6) return { call: () => child.kill("SIGKILL") };
    setTimeout(() => child.kill("SIGKILL"), random() * 60);
    return operation === "GetObject" ? { cutAt: Math.floor(random() * asked) } : undefined;
  };
  const { code } = await ended;
  proxy.fault = () => undefined;
  return code === null;
}

async function finish(args: readonly string[], pieceBytes: number): Promise<void> {
  const { code, errors } = await start(args, pieceBytes).ended;
  if (code !== 0) throw new Error(`${args[0]} ends with ${code}: ${errors}`);
}

function bytesAsked(from: number): number {
  const gets = proxy.seen.slice(from).filter(({ operation }) => operation === "GetObject");
  return gets.reduce((sum, seen) => sum + rangeBytes(seen), 0);
}

/** The blocks that an unfinished download has noted. */
function blocksNoted(folder: string): number {
  const names = existsSync(folder) ? readdirSync(folder) : [];
  const journal = names.find((name) => name.endsWith(".done"));
  if (journal === undefined) return 0;
  const [, ...lines] = readFileSync(join(folder, journal), "utf8").split("\n").slice(0, -1);
  return new Set(lines).size;
}

/** The parts that S3 has taken and said so. */
function parts(from: number): Set<number> {
  const taken = proxy.seen
    .slice(from)
    .filter(({ part, outcome }) => part !== undefined && outcome === 200);
  return new Set(taken.map(({ part }) => part!));
}

function finished(from: number, to: number): boolean {
  return proxy.seen
    .slice(from, to)
    .some(({ operation, outcome }) => operation === "CompleteMultipartUpload" && outcome === 200);
}

function check(round: number, folder: string, path: string, must: boolean): void {
  const file = join(folder, "file");
  if (existsSync(file)) {
    if (!readFileSync(file).equals(readFileSync(path)))
      throw new Error(`round ${round}: wrong bytes`);
    const others = readdirSync(folder).filter((name) => name !== "file");
    if (must && others.length > 0) throw new Error(`round ${round}: left behind: ${others.join()}`);
  } else if (must) {
    throw new Error(`round ${round}: the file is missing`);
  }
}

/** Mulberry32: small, and the same everywhere for one seed. */
function generator(start: number): () => number {
  let state = start >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  };
}
