/**
 * From the start of a command to the accepted training job: the bundled moxi, with its checks of
 * dataset and account, beside the SageMaker Python SDK, which uploads and submits the same. Both
 * against the test cloud, in turns in one run, at once and as if the cloud were 40 ms away. Each is
 * measured for a job of new rows and code, and for the next job of the same.
 *
 * Of each the table shows how long the cloud worked on it, which is no time of ours, how many
 * requests it sent, and how many round trips it waited for one after the other: the time that the
 * distance costs, in round trips. Opening a connection costs none here, and two of them over TLS.
 *
 * The SDK (about 1 GB) is installed below build/ the first time.
 */
import { spawn, spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { bundle } from "../scripts/build.ts";
import { setUpAccount } from "../test/cloud/account.ts";
import { rehearsalImage, startCloud } from "../test/cloud/start.ts";
import { exampleRows } from "../test/project.ts";

// Nothing here speaks TLS: parsing a machine's own authorities would be nobody's work.
for (const name of ["NODE_EXTRA_CA_CERTS", "AWS_CA_BUNDLE"]) delete process.env[name];

const rounds = Number(process.argv[2] ?? 5);
const rowCount = 600;
/** One way and back, in milliseconds: a region of the same continent. */
const distance = 40;
const sdk = "sagemaker==3.27.0";

const root = fileURLToPath(new URL("..", import.meta.url));
const python = join(root, "build/sagemaker-sdk/bin/python");
if (!existsSync(python)) {
  process.stdout.write(`installing ${sdk}\n`);
  must("python3", ["-m", "venv", join(root, "build/sagemaker-sdk")]);
  must(python, ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", sdk]);
}

const folder = mkdtempSync(join(tmpdir(), "moxi-bench-"));
// Jobs that end at once: of those that run the account's checks would have to look at each.
const image = join(folder, "python3");
writeFileSync(image, "#!/bin/sh\nexit 0\n", { mode: 0o755 });
const cloud = await startCloud(image);
try {
  const { account, env } = await setUpAccount(cloud);
  for (const name of [
    "ml.g5.2xlarge for training job usage",
    "Number of instances across all training jobs",
  ]) {
    await cloud.order("quota", { name, value: 1000 });
  }
  // The SDK refuses a role with less, and writes outside Moxi's prefix: it gets the root's keys,
  // whose requests the cloud does not judge, which takes it less time.
  const everything = {
    Version: "2012-10-17",
    Statement: [{ Effect: "Allow", Action: "*", Resource: "*" }],
  };
  const peerRole = await account.role(
    "peer",
    await account.policy("sagemaker-execution-trust"),
    everything,
  );
  account.close();
  const main = await makePackage(join(folder, "package"));
  const code = join(folder, "code");
  mkdirSync(code);
  cpSync(join(root, "trainer/bootstrap.py"), join(code, "bootstrap.py"));
  cpSync(join(root, "trainer/moxi_train"), join(code, "moxi_train"), {
    recursive: true,
    filter: (path) => !path.includes("__pycache__"),
  });

  const away = await startDistance(cloud.endpoint, distance);
  const taken: Record<string, Taken> = {};
  const measure = async (name: string, far: boolean, command: readonly string[], more: Env) => {
    await cloud.order("trace");
    const environment = { ...process.env, ...more, ...(far && { AWS_ENDPOINT_URL: away.url }) };
    const { seconds, said, leave } = await accepted(command, environment);
    const trace = (await cloud.order("trace")) as Traced[];
    // The jobs' own requests are no command's.
    const own = trace.filter(({ principal }) => !principal.includes("assumed-role"));
    // The compiled code is kept meanwhile, and the job that was made fetches its inputs and ends.
    await sleep(500);
    leave();
    do await sleep(500);
    while (((await cloud.order("trace")) as Traced[]).length > 0);
    const list = (taken[name] ??= { near: [], far: [], cloud: [], requests: [] });
    if (far) list.far.push(seconds);
    else {
      list.near.push(seconds);
      list.cloud.push(busySeconds(own));
      list.requests.push(own.length);
    }
    return said;
  };

  // Written before all else: what was written just now is read twice by whoever is careful.
  const projects = Array.from({ length: 2 * (rounds + 1) }, (_, index) => {
    const project = join(folder, `project-${index}`);
    mkdirSync(join(project, "rows"), { recursive: true });
    writeFileSync(join(project, "rows.json"), JSON.stringify(exampleRows(rowCount + index)));
    return project;
  });
  await sleep(2500);

  let last = "";
  for (const [index, project] of projects.entries()) {
    const far = index % 2 === 1;
    // The code is new to S3 each time, as it is to the SDK, which sends it with every job.
    const program = join(folder, "package/trainer/bootstrap.py");
    writeFileSync(program, `${String(index)}\n`, { flag: "a" });
    const moxi = {
      ...env,
      MOXI_SAGEMAKER_IMAGE: rehearsalImage,
      XDG_STATE_HOME: project,
      // Of somebody who trains, and not what tests have left on this machine.
      XDG_CACHE_HOME: join(folder, "cache"),
    };
    const train = [process.execPath, main, "train", "--dataset", "rows.json", "--json", "--yes"];
    const run = (name: string, epochs: number) =>
      measure(
        name,
        far,
        ["sh", "-c", 'cd "$0" && exec "$@"', project, ...train, "--epochs", String(epochs)],
        moxi,
      );
    const rows = join(project, "rows");
    const peer = () =>
      measure(
        "SageMaker SDK",
        far,
        [
          python,
          join(root, "bench/submit/peer.py"),
          "team-data",
          peerRole,
          rehearsalImage,
          code,
          rows,
        ],
        { ...cloud.env, AWS_DEFAULT_REGION: cloud.env["AWS_REGION"]! },
      );
    await run("moxi, the first job", 1);
    for (const side of ["train", "eval"]) {
      const made = globSync(join(project, ".moxi/data/*", `${side}.jsonl`))[0]!;
      cpSync(made, join(rows, `${side}.jsonl`));
    }
    await peer();
    last = await run("moxi, the next job", 2);
    await peer();
    // The first of each warm the disk's cache and the compiled code, as a user's earlier commands do.
    if (index === 1) for (const name of Object.keys(taken)) delete taken[name];
  }
  away.stop();

  const bare: number[] = [];
  for (let round = 0; round < 9; round++) {
    const start = performance.now();
    spawnSync(process.execPath, ["-e", "0"]);
    bare.push((performance.now() - start) / 1000);
  }
  const peerTaken = taken["SageMaker SDK"]!;
  process.stdout.write(
    `median of ${rounds} rounds, ${rowCount} rows, Node ${process.version}, ${sdk}; node -e 0 takes ${median(bare).toFixed(2)} s\n\n` +
      `${"".padEnd(20)}    seconds  of it the cloud  requests   at ${distance} ms  round trips\n`,
  );
  for (const [name, { near, far, cloud: busy, requests }] of Object.entries(taken)) {
    const [own, ownFar] = [median(near), median(far)];
    const times = (peer: readonly number[], mine: number) =>
      `${(median(peer) / mine).toFixed(1)} x`;
    const ratio =
      name === "SageMaker SDK"
        ? ""
        : `  ${times(peerTaken.near, own)} faster, ${times(peerTaken.far, ownFar)} at ${distance} ms`;
    const trips = ((ownFar - own) * 1000) / distance;
    process.stdout.write(
      `${name.padEnd(20)} ${own.toFixed(2).padStart(8)} s ${median(busy).toFixed(2).padStart(13)} s ${String(median(requests)).padStart(9)} ${ownFar.toFixed(2).padStart(9)} s ${trips.toFixed(1).padStart(12)}${ratio}\n`,
    );
  }
  readAsOutsider(last, env);
} finally {
  await cloud.stop();
  rmSync(folder, { recursive: true, force: true });
}

type Env = Readonly<Record<string, string>>;

interface Taken {
  /** Seconds. */
  readonly near: number[];
  /** Seconds, with the cloud at a distance. */
  readonly far: number[];
  /** Seconds in which the cloud worked. */
  readonly cloud: number[];
  readonly requests: number[];
}

function median(list: readonly number[]): number {
  return list.toSorted((a, b) => a - b)[list.length >> 1] ?? Number.NaN;
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, milliseconds));
}

/** Puts the cloud so many milliseconds away: every byte of its answers comes that much later. */
async function startDistance(endpoint: string, milliseconds: number) {
  const { hostname, port } = new URL(endpoint);
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(Number(port), hostname);
    for (const socket of [near, far]) {
      sockets.add(socket.setNoDelay(true));
      socket.on("error", () => socket.destroy());
    }
    near.on("close", () => far.destroy());
    near.pipe(far);
    far.on("close", () => void setTimeout(() => near.end(), milliseconds));
    far.on("data", (bytes: Buffer) => void setTimeout(() => near.write(bytes), milliseconds));
  });
  await new Promise<void>((listening) => void server.listen(0, "127.0.0.1", listening));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

interface Traced {
  readonly principal: string;
  readonly began: number;
  readonly ended: number;
}

/** Seconds in which the cloud worked on one of these requests, or on several. */
function busySeconds(requests: readonly Traced[]): number {
  let seconds = 0;
  let until = 0;
  for (const { began, ended } of requests.toSorted((a, b) => a.began - b.began)) {
    seconds += Math.max(0, ended - Math.max(began, until));
    until = Math.max(until, ended);
  }
  return seconds;
}

/** Somebody else's tool finds in the job what Moxi put there. */
function readAsOutsider(started: string, env: Readonly<Record<string, string>>): void {
  const { run } = JSON.parse(started) as { run: string };
  const outsider = join(root, "bench/submit/outsider.py");
  const { status, stdout, stderr } = spawnSync(python, [outsider, `${run}-a1`], {
    env: { ...process.env, ...env, AWS_DEFAULT_REGION: "us-east-1" },
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`the SDK cannot read ${run}-a1: ${stderr}`);
  const { image, channels, artifacts } = JSON.parse(stdout) as {
    image: string;
    channels: object;
    artifacts: string;
  };
  const names = Object.keys(channels).sort().join(", ");
  if (names !== "eval, job, moxi, train" || !image.includes("/rehearsal@sha256:")) {
    throw new Error(`the SDK reads ${run}-a1 as ${stdout}`);
  }
  process.stdout.write(`\nthe SDK reads the job: channels ${names}; artifacts in ${artifacts}\n`);
}

/** Seconds until a command says that its job is accepted. It goes on until it is left. */
async function accepted([command, ...args]: readonly string[], env: NodeJS.ProcessEnv) {
  const start = performance.now();
  const child = spawn(command!, args, { env, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
  for await (const line of createInterface({ input: child.stdout })) {
    said += `${line}\n`;
    if (!line.includes('"type":"started"') && line !== "accepted") continue;
    const seconds = (performance.now() - start) / 1000;
    return { seconds, said: line, leave: () => child.kill("SIGKILL") };
  }
  throw new Error(`${command} ${args.join(" ")} never submitted: ${said.slice(-2000)}`);
}

/** The program as the package holds it: without sources, so that the bundle runs. */
async function makePackage(target: string): Promise<string> {
  mkdirSync(target, { recursive: true });
  for (const part of ["bin", "package.json", "trainer"]) {
    cpSync(join(root, part), join(target, part), {
      recursive: true,
      filter: (path) => !path.includes("__pycache__"),
    });
  }
  await bundle(join(target, "dist"));
  return join(target, "bin", "moxi.cjs");
}

function must(command: string, args: string[]): void {
  const { status } = spawnSync(command, args, { stdio: "inherit" });
  if (status !== 0) process.exit(1);
}
