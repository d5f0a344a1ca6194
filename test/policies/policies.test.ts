// The shipped policies, held against what is really asked: every request of every command, and
// what the service does itself as the execution role. All of it is allowed; the same is denied for
// a neighbour's prefix, role, job, log or parameter; and no statement is there for nothing.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { rehearsed, setUpAccount } from "../cloud/account.ts";
import type { Policy, SetUp } from "../cloud/account.ts";
import { rehearsalImage, startCloud } from "../cloud/start.ts";
import type { Cloud } from "../cloud/start.ts";
import { createProject, exampleRows } from "../project.ts";
import type { Project } from "../project.ts";
import { startJudge } from "./judge.ts";
import type { Judge, Need } from "./judge.ts";

interface Traced {
  readonly service: string;
  readonly operation: string;
  readonly principal: string;
  readonly needs: readonly [action: string, resource: string, context: Need["context"]][];
}

/** A container that leaves something everywhere; the run "ends" ends well, others are stopped. */
const container = `#!/bin/sh
trap 'exit 0' TERM
echo "a line"
echo 1 > "$MOXI_ML_ROOT/model/weights"
mkdir -p "$MOXI_ML_ROOT/checkpoints"
echo 1 > "$MOXI_ML_ROOT/checkpoints/state"
job="$MOXI_ML_ROOT/input/data/job/job.json"
tell() {
  nonce=$(sed -n 's/.*"nonce": "\\(.*\\)".*/\\1/p' "$job")
  at='"v":1,"run":"moxi-ends","attempt":1,"boot":1,"at":"2026-11-23T14:12:07.000Z"'
  echo "@moxi:$nonce {$at,$1}"
}
if grep -q '"run": "moxi-ends"' "$job"; then
  tell '"seq":1,"type":"artifact","kind":"adapter","files":1,"bytes":2'
  tell '"seq":2,"type":"end","outcome":"succeeded","exitCode":0'
  exit 0
fi
sleep 600 &
wait
`;

let cloud: Cloud;
let setUp: SetUp;
let project: Project;
let judge: Judge;
let submitter: Policy;
let execution: Policy;
const hub = createServer((request, response) => {
  const info = { id: "org/m", _id: "1", sha: "a".repeat(40), gated: "manual", tags: [] };
  const config = { architectures: ["LlamaForCausalLM"], model_type: "llama" };
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify(request.url!.includes("/api/models/") ? info : config));
});
/** What each command asked for. */
const asked = new Map<string, Traced[]>();

beforeAll(async () => {
  judge = startJudge();
  await new Promise<void>((done) => void hub.listen(0, "127.0.0.1", done));
  project = await createProject();
  const python = join(project.folder, "python3");
  await writeFile(python, container, { mode: 0o755 });
  await project.write("rows.json", JSON.stringify(exampleRows(40)));
  cloud = await startCloud(python);
  setUp = await setUpAccount(cloud);
  const { account, roleArn, env } = setUp;
  submitter = rehearsed(await account.policy("submitter-sagemaker", roleArn));
  execution = rehearsed(await account.policy("sagemaker-execution"));
  Object.assign(project.env, env, {
    MOXI_SAGEMAKER_IMAGE: rehearsalImage,
    // The job fetches the model itself, with the token that it is handed.
    MOXI_SAGEMAKER_MIRROR_MODEL: "false",
    HF_TOKEN: "hf_of_the_tests",
    MOXI_POLL_SECONDS: "0.2",
    HF_ENDPOINT: `http://127.0.0.1:${(hub.address() as AddressInfo).port}`,
  });
  await traceEverything();
}, 240_000);
afterAll(async () => {
  hub.close();
  setUp.account.close();
  await cloud.stop();
  await judge.stop();
  await project.remove();
});

async function traced(name: string, work: () => Promise<unknown>): Promise<void> {
  await look(name);
  asked.set(name, []);
  await work();
  await look(name);
}

/** Takes over what the cloud has seen since the last look. */
async function look(name: string): Promise<readonly Traced[]> {
  const seen = [...(asked.get(name) ?? []), ...((await cloud.order("trace")) as Traced[])];
  asked.set(name, seen);
  return seen;
}

/** Every command that speaks to AWS, as the user with exactly the shipped policy. */
async function traceEverything(): Promise<void> {
  const ok = async (...args: string[]) => {
    const done = await project.moxi(...args);
    expect(done.code, `${args.join(" ")}: ${done.stdout}${done.stderr}`).toBe(0);
  };
  /** Traces a command until the cloud has seen some request; then leaves it, as a closed terminal does. */
  const until = async (isSeen: (one: Traced) => boolean, name: string, ...args: string[]) =>
    traced(name, async () => {
      const running = project.start(...args);
      const isThere = async () => {
        const { stdout, stderr } = running.written;
        expect((await look(name)).some(isSeen), `${name}: ${stdout}${stderr}`).toBe(true);
      };
      await vi.waitFor(isThere, 60_000);
      running.child.kill("SIGKILL");
      await running.finished;
    });
  const does = (operation: string) => (one: Traced) => one.operation === operation;
  const train = ["train", "--dataset", "rows.json", "--json", "--yes", "--run-id", "traced"];
  const s3 = new S3Client({
    endpoint: cloud.endpoint,
    region: "us-east-1",
    forcePathStyle: true,
    credentials: {
      accessKeyId: cloud.env["AWS_ACCESS_KEY_ID"]!,
      secretAccessKey: cloud.env["AWS_SECRET_ACCESS_KEY"]!,
    },
  });
  const rows = { Bucket: setUp.bucket, Key: "moxi/data/own/rows.json" };
  await s3.send(new PutObjectCommand({ ...rows, Body: JSON.stringify(exampleRows(8)) }));
  s3.destroy();
  const hubModel = ["--model", "org/m", "--method", "lora"];
  await traced("train --dry-run", () => ok(...train.slice(0, -2), "--dry-run"));
  await traced("data check", () => ok("data", "check", `s3://${rows.Bucket}/${rows.Key}`));
  // The first attempt finds no machine, so that a second one has something to do.
  await cloud.order("capacity", { kind: "ml.g5.2xlarge", starts: 1 });
  await traced("train", () => project.moxi(...train, ...hubModel));
  await until(does("CreateTrainingJob"), "resume", "resume", "traced", "--json");
  await traced("logs", async () => {
    await vi.waitFor(async () => {
      expect((await project.moxi("logs", "traced")).stdout).toContain("a line");
    }, 60_000);
  });
  await traced("show", () => ok("show", "traced"));
  await traced("runs", () => ok("runs"));
  await until(does("GetLogEvents"), "watch", "watch", "traced", "--json");
  await until(does("StopTrainingJob"), "stop", "stop", "traced", "--json");
  const leaves = (one: Traced) => one.needs.some(([, resource]) => resource.includes("/models/"));
  await vi.waitFor(async () => expect((await look("stop")).some(leaves)).toBe(true), 60_000);
  const ends = [...train.slice(0, -1), "ends", ...hubModel, "--no-pull"];
  await traced("train to its end", () => ok(...ends));
  await traced("pull", () => ok("pull", "ends"));
  await traced("runs --remote", () => ok("runs", "--remote"));
}

const isJob = ({ principal }: Traced) => principal.includes(":assumed-role/");

function needsOf(list: readonly Traced[]): Need[] {
  const needs = new Map<string, Need>();
  for (const each of list) {
    for (const [action, resource, context] of each.needs) {
      needs.set(JSON.stringify([action, resource, context]), { action, resource, context });
    }
  }
  return [...needs.values()];
}
const users = () => needsOf([...asked.values()].flat().filter((each) => !isJob(each)));

/** What SageMaker does for a job besides, by its documentation: the test cloud carries none of it out. */
const unseen = (): Need[] => {
  const repository = "arn:aws:ecr:us-east-1:763104351884:repository/rehearsal";
  const need = (action: string, resource: string, context: Need["context"] = {}) => {
    return { action, resource, context };
  };
  return [
    need("ecr:GetAuthorizationToken", "*"),
    ...["BatchCheckLayerAvailability", "GetDownloadUrlForLayer", "BatchGetImage"].map((name) =>
      need(`ecr:${name}`, repository),
    ),
    need("ssm:GetParameter", "arn:aws:ssm:us-east-1:123456789012:parameter/moxi/hf-token/0"),
    need("cloudwatch:PutMetricData", "*", {
      "cloudwatch:namespace": "/aws/sagemaker/TrainingJobs",
    }),
  ];
};
const services = () => [...needsOf([...asked.values()].flat().filter(isJob)), ...unseen()];

/** The same request for what lies next door; several where there are several doors. */
function neighbours({ resource }: Need): string[] {
  const swap = (from: RegExp, to: string) => {
    const other = resource.replace(from, to);
    return other === resource ? [] : [other];
  };
  return [
    ...swap(/:training-job\/moxi-/, ":training-job/theirs-"),
    ...swap(/:role\/.*$/, ":role/administrator"),
    ...swap(/^arn:aws:s3:::team-data\/moxi\//, "arn:aws:s3:::team-data/theirs/"),
    ...swap(/^arn:aws:s3:::team-data/, "arn:aws:s3:::their-data"),
    ...swap(/:log-group:\/aws\/sagemaker\/TrainingJobs/, ":log-group:/aws/lambda/theirs"),
    ...swap(/:parameter\/moxi\//, ":parameter/theirs/"),
    ...swap(/:763104351884:repository\//, ":999999999999:repository/"),
  ];
}

/** That have no resource to narrow them to, by the Service Authorization Reference. */
const ofAll =
  /^(sagemaker:ListTrainingJobs|servicequotas:|pricing:|ecr:GetAuthorizationToken|cloudwatch:PutMetricData)/;
/** A user's own rights are asked of the simulator by the user's name, which the shipped file leaves open. */
const ofSelf = /^iam:(?:SimulatePrincipalPolicy|GetRole)$/;

async function refusedNeeds(policy: Policy, needs: readonly Need[]): Promise<string[]> {
  const refused: string[] = [];
  for (const need of needs) {
    if (!(await judge.allows(policy, need))) refused.push(`${need.action} ${need.resource}`);
  }
  return refused;
}

async function openDoors(policy: Policy, needs: readonly Need[]): Promise<string[]> {
  const open: string[] = [];
  for (const need of needs) {
    if (ofAll.test(need.action)) continue;
    const others = neighbours(need);
    if (others.length === 0 && !ofSelf.test(need.action))
      open.push(`no neighbour of ${need.resource}`);
    for (const resource of others) {
      if (await judge.allows(policy, { ...need, resource }))
        open.push(`${need.action} ${resource}`);
    }
  }
  return open;
}

/** The statements without which everything that was asked is allowed still. */
async function idle(policy: Policy, needs: readonly Need[]): Promise<unknown[]> {
  const found: unknown[] = [];
  for (const statement of policy.Statement) {
    const rest = policy.Statement.filter((each) => each !== statement);
    const without = await refusedNeeds({ ...policy, Statement: rest }, needs);
    if (without.length === 0) found.push(statement["Sid"]);
  }
  return found;
}

test("every command that speaks to AWS was traced", () => {
  const silent = [...asked].filter(([, list]) => list.every(isJob)).map(([name]) => name);
  expect(silent).toEqual([]);
  const actions = new Set(users().map(({ action }) => action));
  for (const action of [
    "sagemaker:CreateTrainingJob",
    "sagemaker:StopTrainingJob",
    "iam:PassRole",
    "s3:PutObject",
    "s3:GetObject",
    "logs:GetLogEvents",
    "ssm:PutParameter",
  ]) {
    expect(actions).toContain(action);
  }
});

describe("whoever submits", () => {
  test("may do all that the commands ask", async () => {
    expect(await refusedNeeds(submitter, users())).toEqual([]);
  });

  test("may not do it next door", async () => {
    expect(await openDoors(submitter, users())).toEqual([]);
  });

  test("may hand the role to no other service", async () => {
    const pass = users().find(({ action }) => action === "iam:PassRole")!;
    const context = { "iam:PassedToService": "lambda.amazonaws.com" };
    expect(await judge.allows(submitter, { ...pass, context })).toBe(false);
  });

  test("has no statement for nothing", async () => {
    // The key is used where a run names one.
    expect(await idle(submitter, users())).toEqual(["HfTokenKey"]);
  });
});

describe("the service, as the execution role", () => {
  test("may read and write what a job needs", async () => {
    const actions = new Set(services().map(({ action }) => action));
    for (const action of ["s3:ListBucket", "s3:GetObject", "s3:PutObject", "logs:PutLogEvents"]) {
      expect(actions).toContain(action);
    }
    expect(await refusedNeeds(execution, services())).toEqual([]);
  });

  test("may not do it next door", async () => {
    expect(await openDoors(execution, services())).toEqual([]);
  });

  test("may list below its own prefix alone, and write no code, data or plan", async () => {
    const list = services().find(({ action }) => action === "s3:ListBucket")!;
    expect(await judge.allows(execution, { ...list, context: { "s3:prefix": "theirs/" } })).toBe(
      false,
    );
    for (const folder of ["code", "data", "runs", "base"]) {
      const resource = `arn:aws:s3:::team-data/moxi/${folder}/x`;
      expect(await judge.allows(execution, { action: "s3:PutObject", resource, context: {} })).toBe(
        false,
      );
    }
  });

  test("has no statement for nothing", async () => {
    expect(await idle(execution, services())).toEqual(["BucketLocation", "HfTokenKey"]);
  });
});
