import { execFile } from "node:child_process";
import { readdir, readFile, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { SmokeResult } from "../src/api/smoke.ts";
import { ensurePython } from "../src/python/ensure.ts";
import { createProject, exampleRows } from "./project.ts";
import type { Finished, Project } from "./project.ts";

// Real rehearsals: the real command line, supervisor and training program. There is no account, no
// key and no region; whatever would ask AWS or the hub ends at an address where nobody listens.

const nobody = "http://127.0.0.1:9";
const lockFile = join(import.meta.dirname, "../trainer/locks/local.txt");
const trainer = join(import.meta.dirname, "../trainer");

let project: Project;
beforeAll(async () => {
  const temporary = await createProject();
  project = await createProject({
    TMPDIR: temporary.folder,
    AWS_ENDPOINT_URL: nobody,
    AWS_EC2_METADATA_DISABLED: "true",
    HF_ENDPOINT: nobody,
  });
  await project.write("rows.json", JSON.stringify(exampleRows(24)));
  const settings = { dataset: "rows.json", target: "sagemaker", split: { evalFraction: 0.2 } };
  await project.write("moxi.config.json", JSON.stringify(settings));
  await makeModel(join(project.folder, "base"));
});
afterAll(async () => {
  await rm(project.env["TMPDIR"]!, { recursive: true, force: true });
  await project.remove();
});

/** A model of the shape of real ones, too deep and wide for a rehearsal, and with weights of no use. */
async function makeModel(folder: string): Promise<void> {
  const { python } = await ensurePython({
    env: process.env,
    home: homedir(),
    lockFile,
    host: { notify: () => {} },
  });
  const program = `
import json, sys
from pathlib import Path
from transformers import Qwen2Config
from moxi_train.finetune import tiny
folder, rows = Path(sys.argv[1]), json.loads(sys.argv[2])
tokenizer = tiny._tokenizer([{"text": row["content"]} for row in rows])
tokenizer.save_pretrained(folder)
Qwen2Config(
    vocab_size=len(tokenizer), hidden_size=4096, intermediate_size=14336, num_hidden_layers=40,
    num_attention_heads=32, num_key_value_heads=8, bos_token_id=None,
    eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    architectures=["Qwen2ForCausalLM"],
).save_pretrained(folder)
(folder / "model.safetensors").write_bytes(b"no weights")
`;
  const env = { ...process.env, PYTHONPATH: trainer };
  await promisify(execFile)(python, ["-c", program, folder, JSON.stringify(exampleRows(24))], {
    env,
  });
}

const smoke = (...args: string[]) => project.moxi("train", "--smoke", "--json", ...args);
const lines = ({ stdout }: Finished): Record<string, unknown>[] =>
  stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
const resultOf = (finished: Finished) => {
  const last = lines(finished).at(-1);
  expect(last?.["type"], finished.stdout + finished.stderr).toBe("smoke");
  return last as unknown as SmokeResult;
};
const differences = ({ differences: told }: SmokeResult) =>
  Object.fromEntries(told.map(({ name, job, rehearsal }) => [name, [job, rehearsal]]));

/** What is left: in the project, and where temporary files go. */
const left = async () => [
  ...(await readdir(project.folder)).filter((name) => name === ".moxi"),
  ...(await readdir(project.env["TMPDIR"]!)),
];

describe("moxi train --smoke", { timeout: 300_000 }, () => {
  it("trains a small twin of the model for two steps, as the job would, and leaves nothing", async () => {
    const finished = await smoke("--model", "./base", "--effective-batch", "16");
    const result = resultOf(finished);
    expect(finished.code, finished.stdout).toBe(0);
    expect(result).toMatchObject({ formatVersion: 1, succeeded: true, log: null });
    expect(result.view).toMatchObject({ status: "succeeded", method: "lora", model: "./base" });
    expect(result.view.steps.map(({ step }) => step)).toEqual([1, 2]);
    expect(result.view.checkpoint).not.toBeNull();
    const told = differences(result);
    expect(told["model"]).toEqual([
      "./base",
      expect.stringMatching(/^its small twin: 2 layers, [\d,]+ random weights$/),
    ]);
    expect(told["dtype"]).toEqual(["bfloat16", "float32"]);
    expect(told["torch"]![0]).toBe("2.9.0");
    expect(told["steps"]).toEqual(["3 epochs", "2 steps"]);
    expect(told["effective batch"]).toEqual(["16", "4"]);
    expect(await left()).toEqual([]);
  });

  it("fails with the training program's own cause, and keeps the log", async () => {
    const finished = await smoke("--max-seq-length", "8");
    expect(finished.code).toBe(1);
    const result = resultOf(finished);
    expect(result).toMatchObject({ succeeded: false, view: { status: "failed" } });
    expect(result.view.error).toContain("no row is left to train on");
    expect(await readFile(result.log!, "utf8")).toContain("no row is left to train on");
    expect(await left()).toEqual([expect.stringMatching(/^moxi-.*-smoke\.log$/)]);
    await rm(result.log!);
  });

  it("says what it cannot rehearse of qlora, and rehearses the rest", async () => {
    const finished = await smoke("--model", "./base", "--method", "qlora");
    expect(finished.code, finished.stdout).toBe(0);
    const told = differences(resultOf(finished));
    expect(told["method"]).toEqual(["qlora", expect.stringContaining("need an NVIDIA GPU")]);
  });

  it("is for jobs of the cloud", async () => {
    const finished = await smoke("--target", "local");
    expect(finished.code).toBe(2);
    const { error } = lines(finished).at(-1) as { error: { code: string; hint: string } };
    expect(error).toMatchObject({
      code: "E_USAGE",
      hint: "moxi train --target sagemaker --smoke",
    });
    expect((await project.moxi("train", "--smoke", "--dry-run")).code).toBe(2);
  });

  it("leaves nothing when it is interrupted", async () => {
    const { child, written, finished } = project.start("train", "--smoke", "--model", "./base");
    while (!written.stderr.includes("starting the trainer")) {
      expect(child.exitCode, written.stderr).toBeNull();
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    child.kill("SIGINT");
    expect((await finished).code).toBe(130);
    expect(await left()).toEqual([]);
    const { stdout } = await promisify(execFile)("ps", ["-eo", "args"]);
    expect(stdout).not.toContain(`${project.env["TMPDIR"]}/moxi-smoke`);
  });
});
