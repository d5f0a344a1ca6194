import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { plan as story, run } from "../../../test/fixtures/story.ts";
import { standInTrainer } from "../../../test/conformance/stand-in.ts";
import type { CloudSettings } from "../../run/plan.ts";
import { jobSchema } from "../../run/schemas.ts";
import { newAttempt } from "../../store/runs.ts";
import { layOutContainer } from "./container.ts";
import { offlinePlace } from "./offline.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "moxi-container-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const write = async (name: string, text: string) => {
  await mkdir(join(folder, name, ".."), { recursive: true });
  await writeFile(join(folder, name), text);
  return join(folder, name);
};
const data = (...parts: string[]) => join(folder, "ml/input/data", ...parts);
const json = async (...parts: string[]): Promise<unknown> =>
  JSON.parse(await readFile(join(folder, "ml", ...parts), "utf8"));

async function lay(mirrorModel: boolean): Promise<void> {
  const wishes = { instance: "ml.g5.2xlarge" };
  const cloud: CloudSettings = { ...(await offlinePlace(wishes).cloud())!, mirrorModel };
  const machine = { name: wishes.instance, accelerator: "cuda", accelerators: 1 } as const;
  const wheel = { name: "a", version: "1", file: "a-1-py3-none-any.whl", size: 1 };
  const submission = {
    run,
    folder: join(folder, "ml"),
    plan: { ...story({ model: "org/base", method: "lora" }), target: "sagemaker", machine, cloud },
    attempt: newAttempt(run, 1, "sagemaker", new Date(0)),
    dataset: {
      train: await write("train.jsonl", '{"text":"a"}\n'),
      eval: await write("eval.jsonl", '{"text":"b"}\n'),
    },
    modelFolder: join(folder, "twin"),
    adapterFolder: null,
  } as const;
  await write("twin/config.json", "{}");
  const options = {
    trainerFolder: await standInTrainer(folder),
    wheels: async () => [{ ...wheel, sha256: "0".repeat(64), path: await write("a.whl", "w") }],
    secrets: [],
  };
  await layOutContainer(submission, options, (job) => ({ ...job, processes: 7 }));
}

test.for([false, true])("every channel is a folder, mirrored model: %s", async (mirrorModel) => {
  await lay(mirrorModel);
  expect((await readdir(data())).sort()).toEqual(["eval", "job", "model", "moxi", "train"]);
  expect((await readdir(data("moxi"))).sort()).toEqual(["bootstrap.py", "moxi_train", "wheels"]);
  expect(await readFile(data("moxi/wheels/a-1-py3-none-any.whl"), "utf8")).toBe("w");
  expect(await readFile(data("train/train.jsonl"), "utf8")).toBe('{"text":"a"}\n');
  expect(await readdir(data("model"))).toEqual(["config.json"]);
  const job = jobSchema.parse(await json("input/data/job/job.json"));
  expect(job).toMatchObject({
    processes: 7,
    secrets: [],
    trainer: { modelPath: "input/data/model" },
  });
  const told = await json("input/config/inputdataconfig.json");
  expect(Object.keys(told as object).sort()).toEqual(["eval", "job", "model", "moxi", "train"]);
  expect(await json("input/config/resourceconfig.json")).toMatchObject({
    hosts: ["algo-1"],
    current_instance_type: "ml.g5.2xlarge",
  });
});
