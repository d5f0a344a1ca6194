// docs/AWS_TRAINING_FLOW_NOW.md, typed as it is printed into a shell of an account's owner, with the
// real AWS CLI: what it makes is an account that passes every check.
import { execFile } from "node:child_process";
import { mkdir, readFile, symlink } from "node:fs/promises";
import { delimiter, join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { DryRun } from "../src/api/dry-run.ts";
import { rehearsalImage, startCloud } from "./cloud/start.ts";
import type { Cloud } from "./cloud/start.ts";
import { createProject, exampleRows } from "./project.ts";
import type { Project } from "./project.ts";

const root = resolve(import.meta.dirname, "..");
const page = join(root, "docs/AWS_TRAINING_FLOW_NOW.md");

let cloud: Cloud;
let project: Project;
beforeAll(async () => {
  cloud = await startCloud();
  const { AWS_ENDPOINT_URL } = cloud.env;
  project = await createProject({
    AWS_ENDPOINT_URL: AWS_ENDPOINT_URL!,
    MOXI_SAGEMAKER_IMAGE: rehearsalImage,
  });
  await project.write("rows.json", JSON.stringify(exampleRows(40)));
  await mkdir(join(project.folder, "infra"));
  await symlink(join(root, "infra/policies"), join(project.folder, "infra/policies"));
});
afterAll(async () => {
  await project.remove();
  await cloud.stop();
});

test("what the guide prints makes an account that can train", async () => {
  const text = await readFile(page, "utf8");
  const blocks = [...text.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block]) => block);
  expect(blocks).toHaveLength(6);
  // The test cloud's image lies in a repository of another name than AWS's.
  const typed = blocks
    .join("\n")
    .replace(
      '"infra/policies/$1.json"',
      '"infra/policies/$1.json" | sed s/huggingface-pytorch-training/rehearsal/',
    );
  const env = {
    ...cloud.env,
    HOME: project.folder,
    PS1: "",
    PATH: [join(root, "build/python-tools/bin"), process.env["PATH"]].join(delimiter),
  };
  await promisify(execFile)("bash", ["-euo", "pipefail", "-c", typed], {
    cwd: project.folder,
    env,
  });
  // Where a person asks, a person answers: AWS grants the quota.
  await cloud.order("quota", { name: "ml.g5.2xlarge for training job usage", value: 1 });

  const done = await project.moxi("train", "--dataset", "rows.json", "--dry-run", "--json");
  expect(done.code, done.stdout).toBe(0);
  const { checks, offer } = JSON.parse(done.stdout.trimEnd().split("\n").at(-1)!) as DryRun;
  // The test image is nobody's that Moxi has packages for.
  const unsure = checks.filter(({ result }) => result !== "ok");
  expect(unsure.map(({ name }) => name)).toEqual(["packages"]);
  expect(offer).not.toBeNull();
});
