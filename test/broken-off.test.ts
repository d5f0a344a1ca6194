// Submitting, broken off at every step: the same command again goes on with the same run, makes
// exactly one job, and sends no byte a second time.
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { setUpAccount } from "./cloud/account.ts";
import { startProxy } from "./cloud/proxy.ts";
import type { Intervention, Passing, Proxy } from "./cloud/proxy.ts";
import { idleImage, rehearsalImage, startCloud } from "./cloud/start.ts";
import type { Cloud } from "./cloud/start.ts";
import { createProject, exampleRows } from "./project.ts";
import type { Finished, Project, Running } from "./project.ts";

let cloud: Cloud;
let proxy: Proxy;
let env: Readonly<Record<string, string>>;
let image: Project;
let project: Project;

beforeAll(async () => {
  image = await createProject();
  cloud = await startCloud(await idleImage(image.folder));
  proxy = await startProxy(cloud.endpoint);
  const made = await setUpAccount(cloud);
  made.account.close();
  env = { ...made.env, AWS_ENDPOINT_URL: proxy.url, MOXI_SAGEMAKER_IMAGE: rehearsalImage };
});
afterAll(async () => {
  proxy.stop();
  await cloud.stop();
  await image.remove();
});
beforeEach(async () => {
  project = await createProject({ ...env, XDG_CACHE_HOME: join(image.folder, "cache") });
  await project.write("rows.json", JSON.stringify(exampleRows(40 + salt)));
  salt += 1; // other rows, so that every test sends some
  proxy.passed.length = 0;
  await cloud.order("trace");
});
afterEach(async () => {
  proxy.intervene = () => "pass";
  await project.remove();
});
let salt = 0;

const train = (...more: string[]) =>
  project.start("train", "--dataset", "rows.json", "--json", "--yes", ...more);

interface Started {
  readonly how: string;
  readonly run: string;
}

/** Waits until the command says that its run is submitted, and leaves it as a closed terminal does. */
async function submitted(running: Running): Promise<Started> {
  let ended: Finished | undefined;
  void running.finished.then((finished) => (ended = finished));
  for (;;) {
    const line = running.written.stdout.split("\n").find((text) => text.includes('"started","f'));
    if (line !== undefined) {
      running.child.kill("SIGKILL");
      await running.finished;
      return JSON.parse(line) as Started;
    }
    if (ended !== undefined) throw new Error(`never submitted: ${ended.stdout}${ended.stderr}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Runs the command with something in its way, until it has ended. */
async function brokenOff(
  intervene: (passing: Passing, kill: () => void) => Intervention,
  ...more: string[]
) {
  const running = train(...more);
  const kill = () => void running.child.kill("SIGKILL");
  proxy.intervene = (passing) => intervene(passing, kill);
  const { code, stdout } = await running.finished;
  proxy.intervene = () => "pass";
  expect(code, stdout).toBeNull();
}

const isPut = ({ operation }: Passing) => operation === "PUT";
const runsHere = async () =>
  (await readdir(join(project.folder, ".moxi/runs"))).filter((name) => !name.startsWith("."));

/** One job of this project's only run, and every object sent once. */
async function expectOneOfEverything(run: string): Promise<void> {
  expect(await runsHere()).toEqual([run]);
  const trace = (await cloud.order("trace")) as {
    operation: string;
    values: { TrainingJobName?: string };
  }[];
  const names = trace
    .filter(({ operation }) => operation === "CreateTrainingJob")
    .map(({ values }) => values.TrainingJobName);
  expect(new Set(names)).toEqual(new Set([`${run}-a1`]));
  const puts = proxy.passed.filter(isPut).map(({ path }) => path);
  expect(puts.filter((path, index) => puts.indexOf(path) !== index)).toEqual([]);
  expect(puts.filter((path) => path.includes(`/runs/${run}/`))).toHaveLength(3);
}

describe("killed", () => {
  let puts = 0;
  beforeEach(() => {
    puts = 0;
  });

  test.each<[string, (passing: Passing, kill: () => void) => Intervention]>([
    [
      "after the plan is written, before anything is sent",
      (one, kill) => (isPut(one) ? { before: kill } : "pass"),
    ],
    [
      "while it uploads",
      (one, kill) => (isPut(one) && one.path.endsWith("train.jsonl") ? { before: kill } : "pass"),
    ],
    [
      "between two uploads",
      (one, kill) => {
        if (isPut(one)) puts += 1;
        return puts === 2 ? { answered: kill } : "pass";
      },
    ],
    [
      "after the run is in S3, before the job is made",
      (one, kill) => (one.operation === "CreateTrainingJob" ? { before: kill } : "pass"),
    ],
    [
      "after the job is made, before the answer",
      (one, kill) => (one.operation === "CreateTrainingJob" ? { after: kill } : "pass"),
    ],
  ])("%s", async (_step, intervene) => {
    await brokenOff(intervene);
    const [first] = await runsHere();
    const { run } = await submitted(train());
    expect(run).toBe(first);
    await expectOneOfEverything(run);
    const jobs = proxy.passed.filter(({ operation }) => operation === "CreateTrainingJob");
    expect(jobs.length).toBeLessThanOrEqual(2);
    // From now on it is only followed.
    proxy.passed.length = 0;
    expect(await submitted(train())).toMatchObject({ how: "attached", run });
    expect(proxy.passed.filter(isPut)).toEqual([]);
    expect(proxy.passed.filter(({ operation }) => operation.startsWith("Create"))).toEqual([]);
  });
});

test("the answer to CreateTrainingJob is lost on the way: the same name again, and one job", async () => {
  let lost = 0;
  proxy.intervene = ({ operation }) =>
    operation === "CreateTrainingJob" && lost++ === 0 ? { after: () => {} } : "pass";
  const { run, how } = await submitted(train());
  expect(how).toBe("created");
  const jobs = proxy.passed.filter(({ operation }) => operation === "CreateTrainingJob");
  expect(jobs).toHaveLength(2);
  await expectOneOfEverything(run);
});

test("every answer to CreateTrainingJob is lost: the command asks for the job by its name", async () => {
  await cloud.order("fault", { operation: "CreateTrainingJob", kind: "lost", times: 1 });
  proxy.intervene = ({ operation }) =>
    operation === "CreateTrainingJob" ? { after: () => {} } : "pass";
  const { run, how } = await submitted(train());
  expect(how).toBe("created");
  proxy.intervene = () => "pass";
  await expectOneOfEverything(run);
});

test("neither CreateTrainingJob nor a look at the job is answered: the command says so, the next attaches", async () => {
  proxy.intervene = ({ operation }) =>
    /^(?:Create|Describe)TrainingJob$/.test(operation) ? { after: () => {} } : "pass";
  const { code, stdout } = await train().finished;
  proxy.intervene = () => "pass";
  expect(code, stdout).toBe(8);
  const { run } = await submitted(train());
  await expectOneOfEverything(run);
});

test("two at once make one run and one job", async () => {
  const both = await Promise.all([submitted(train()), submitted(train())]);
  expect(both[0].run).toBe(both[1].run);
  await expectOneOfEverything(both[0].run);
});

test.each(["a run that goes on", "a run that was never submitted"])(
  "registry and price list fall silent: the same command goes on with %s",
  async (which) => {
    let run: string | undefined;
    if (which === "a run that goes on") ({ run } = await submitted(train("--max-usd", "5")));
    else {
      await brokenOff((one, kill) => (isPut(one) ? { before: kill } : "pass"), "--max-usd", "5");
      [run] = await runsHere();
    }
    for (const operation of ["DescribeImages", "GetProducts"]) {
      await cloud.order("fault", { operation, kind: "denied" });
    }
    expect(await submitted(train("--max-usd", "5"))).toMatchObject({ how: "attached", run });
    await expectOneOfEverything(run!);
    expect(await submitted(train("--max-usd", "6"))).toMatchObject({ how: "created" });
  },
);

describe("--run-id", () => {
  test("the same id and plan attach in any state; another plan is an error", async () => {
    const { run } = await submitted(train("--run-id", "ci-42"));
    expect(run).toBe("moxi-ci-42");
    // Refused until there is a container.
    await vi.waitFor(() => cloud.order("kill", { job: `${run}-a1` }), 60_000);
    expect(await submitted(train("--run-id", "ci-42"))).toMatchObject({ how: "attached", run });
    await expectOneOfEverything(run);
    const other = await train("--run-id", "ci-42", "--epochs", "9").finished;
    expect(other.code).toBe(2);
    expect(other.stdout).toContain("E_RUN_ID_TAKEN");
  });
});

test("a second run of another plan sends no byte of what S3 has", async () => {
  await submitted(train());
  expect(proxy.passed.filter(isPut).length).toBeGreaterThan(4);
  proxy.passed.length = 0;
  const { run } = await submitted(train("--epochs", "9"));
  const own = ["plan.json", "attempts/1.json", "job-a1/job.json"];
  expect(
    proxy.passed
      .filter(isPut)
      .map(({ path }) => path)
      .sort(),
  ).toEqual(own.map((name) => `team-data/moxi/runs/${run}/${name}`).sort());
});

test("whoever wants an end at once is told that SageMaker knows none", async () => {
  const { run } = await submitted(train());
  const stopping = project.start("stop", "--abort", run);
  await vi.waitFor(
    () => expect(stopping.written.stderr).toContain("two minutes for a checkpoint, which are paid"),
    120_000,
  );
  stopping.child.kill("SIGKILL");
  await stopping.finished;
});
