/**
 * From the start of a command to the accepted training job: the bundled moxi, with its checks of
 * dataset and account, beside the SageMaker Python SDK, which uploads and submits the same. Both
 * against the test cloud, in turns in one run. Each is measured for a job of new rows and code, and
 * for the next job of the same.
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
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { bundle } from "../scripts/build.ts";
import { setUpAccount } from "../test/cloud/account.ts";
import { idleImage, rehearsalImage, startCloud } from "../test/cloud/start.ts";
import { exampleRows } from "../test/project.ts";

// Nothing here speaks TLS: parsing a machine's own authorities would be nobody's work.
for (const name of ["NODE_EXTRA_CA_CERTS", "AWS_CA_BUNDLE"]) delete process.env[name];

const rounds = Number(process.argv[2] ?? 5);
const rowCount = 600;
const sdk = "sagemaker==3.27.0";

const root = fileURLToPath(new URL("..", import.meta.url));
const python = join(root, "build/sagemaker-sdk/bin/python");
if (!existsSync(python)) {
  process.stdout.write(`installing ${sdk}\n`);
  must("python3", ["-m", "venv", join(root, "build/sagemaker-sdk")]);
  must(python, ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", sdk]);
}

const folder = mkdtempSync(join(tmpdir(), "moxi-bench-"));
const cloud = await startCloud(await idleImage(folder));
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
  const program = await makePackage(join(folder, "package"));
  const code = join(folder, "code");
  mkdirSync(code);
  cpSync(join(root, "trainer/bootstrap.py"), join(code, "bootstrap.py"));
  cpSync(join(root, "trainer/moxi_train"), join(code, "moxi_train"), {
    recursive: true,
    filter: (path) => !path.includes("__pycache__"),
  });

  const taken: Record<string, Record<"seconds" | "cloud" | "requests", number[]>> = {};
  const measure = async (name: string, command: readonly string[], more: object, mark: string) => {
    await cloud.order("trace");
    const { seconds, said } = await accepted(command, { ...process.env, ...more }, mark);
    const trace = (await cloud.order("trace")) as Traced[];
    // The jobs' own requests are no command's.
    const own = trace.filter(({ principal }) => !principal.includes("assumed-role"));
    const list = (taken[name] ??= { seconds: [], cloud: [], requests: [] });
    list.seconds.push(seconds);
    list.cloud.push(busySeconds(own));
    list.requests.push(own.length);
    return said;
  };

  let last = "";
  for (let round = 0; round <= rounds; round++) {
    const project = join(folder, `project-${round}`);
    mkdirSync(project);
    writeFileSync(join(project, "rows.json"), JSON.stringify(exampleRows(rowCount + round)));
    // The code is new to S3 in each round, as it is to the SDK, which sends it every time.
    cpSync(join(folder, "package"), join(project, "package"), { recursive: true });
    const own = join(project, "package/trainer/bootstrap.py");
    writeFileSync(own, `${String(round)}\n`, { flag: "a" });
    const moxi = { ...env, MOXI_SAGEMAKER_IMAGE: rehearsalImage, XDG_STATE_HOME: project };
    const train = [
      process.execPath,
      program.replace(join(folder, "package"), join(project, "package")),
      "train",
      "--dataset",
      "rows.json",
      "--json",
      "--yes",
    ];
    const run = (name: string, epochs: number) =>
      measure(
        name,
        ["sh", "-c", 'cd "$0" && exec "$@"', project, ...train, "--epochs", String(epochs)],
        moxi,
        '"type":"started"',
      );
    const rows = join(folder, `rows-${round}`);
    mkdirSync(rows);
    const peer = () =>
      measure(
        "SageMaker SDK",
        [
          python,
          join(root, "bench/submit/peer.py"),
          "team-data",
          peerRole,
          rehearsalImage,
          code,
          rows,
        ],
        { ...cloud.env, AWS_DEFAULT_REGION: cloud.env["AWS_REGION"] },
        "accepted",
      );
    await run("moxi, the first job", 1);
    for (const side of ["train", "eval"]) {
      const made = globSync(join(project, ".moxi/data/*", `${side}.jsonl`))[0]!;
      cpSync(made, join(rows, `${side}.jsonl`));
    }
    await peer();
    last = await run("moxi, the next job", 2);
    await peer();
    // The first round warms the disk's cache and the compiled code, as a user's second command does.
    if (round === 0) for (const name of Object.keys(taken)) delete taken[name];
  }

  const median = (list: readonly number[]) =>
    list.toSorted((a, b) => a - b)[list.length >> 1] ?? Number.NaN;
  const peerSeconds = median(taken["SageMaker SDK"]!.seconds);
  process.stdout.write(
    `median of ${rounds} rounds, ${rowCount} rows, Node ${process.version}, ${sdk}\n\n`,
  );
  for (const [name, { seconds, cloud: busy, requests }] of Object.entries(taken)) {
    const own = median(seconds);
    const ratio = name === "SageMaker SDK" ? "" : `${(peerSeconds / own).toFixed(1)} x faster`;
    process.stdout.write(
      `${name.padEnd(22)} ${own.toFixed(2).padStart(6)} s, the cloud ${median(busy).toFixed(2)} s ${String(median(requests)).padStart(5)} requests  ${ratio}`.trimEnd() +
        "\n",
    );
  }
  readAsOutsider(last, env);
} finally {
  await cloud.stop();
  rmSync(folder, { recursive: true, force: true });
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

/** Seconds until a command says the words that mean the job is accepted. */
async function accepted(
  [command, ...args]: readonly string[],
  env: NodeJS.ProcessEnv,
  mark: string,
): Promise<{ readonly seconds: number; readonly said: string }> {
  const start = performance.now();
  const child = spawn(command!, args, { env, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
  for await (const line of createInterface({ input: child.stdout })) {
    said += `${line}\n`;
    if (!line.includes(mark)) continue;
    const seconds = (performance.now() - start) / 1000;
    child.kill("SIGKILL");
    return { seconds, said: line };
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
