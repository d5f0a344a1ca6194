import { spawn } from "node:child_process";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pid } from "node:process";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { plan, run } from "../../../test/fixtures/story.ts";
import { MoxiError } from "../../base/errors.ts";
import type { Plan } from "../../run/plan.ts";
import { jobSchema } from "../../run/schemas.ts";
import { processStartTime } from "../../base/process.ts";
import { newAttempt } from "../../store/runs.ts";
import type { Submission } from "../target.ts";
import { attemptFiles } from "./files.ts";
import { createLocalTarget } from "./index.ts";
import { layOut } from "./layout.ts";
import { readLog } from "./log.ts";
import { checkDisk, findMachine, judgeRoom, machineHolder, machineLock } from "./machine.ts";

let project: string;
let submission: Submission;
const at = new Date("2026-11-23T14:12:07Z");
let now = at;

beforeEach(async () => {
  project = await mkdtemp(join(tmpdir(), "moxi-target-"));
  now = new Date(at.getTime() + 60_000);
  submission = {
    run,
    folder: join(project, "run"),
    plan: plan(),
    attempt: newAttempt(run, 1, "local", at),
    dataset: { train: join(project, "train.jsonl"), eval: join(project, "eval.jsonl") },
    modelFolder: "/models/base",
    adapterFolder: null,
  };
  await mkdir(join(submission.folder, "output"), { recursive: true });
  await mkdir(join(project, "trainer", "moxi_train", "__pycache__"), { recursive: true });
  await writeFile(join(project, "trainer", "bootstrap.py"), "print('no bootstrap')\n");
  await writeFile(join(project, "trainer", "moxi_train", "main.py"), "");
  await writeFile(join(project, "trainer", "moxi_train", "__pycache__", "main.pyc"), "");
  await writeFile(submission.dataset.train, '{"text":"a"}\n');
  await writeFile(submission.dataset.eval!, '{"text":"b"}\n');
});
afterEach(async () => rm(project, { recursive: true, force: true }));

let slept: number;
const target = (python = "python3") => {
  slept = 0;
  return createLocalTarget({
    python,
    trainerFolder: join(project, "trainer"),
    project,
    env: { PATH: process.env["PATH"], PYTHONPATH: "/poison" },
    home: project,
    clock: {
      now: () => now,
      sleep: (milliseconds) => {
        slept += milliseconds;
        return new Promise((resolve) => void setTimeout(resolve, 1));
      },
    },
  });
};
const files = () => attemptFiles(submission);

async function failure(work: Promise<unknown>): Promise<MoxiError> {
  const error: unknown = await work.catch((thrown: unknown) => thrown);
  if (!(error instanceof MoxiError)) throw new Error("no MoxiError was thrown", { cause: error });
  return error;
}

const me = async () => ({ pid, startTime: (await processStartTime(pid))! });
const event = (type: string) =>
  `@moxi:${submission.attempt.nonce} ${JSON.stringify({ v: 1, run, attempt: 1, boot: 1, seq: 1, at: "", type })}\n`;

describe("the status", () => {
  const status = async () => (await target().status(submission)).state;
  const write = (identity: object) => writeFile(files().processes, JSON.stringify(identity));

  it("is starting for a while after the attempt was recorded, then gone", async () => {
    now = at;
    expect(await status()).toBe("starting");
    now = new Date(at.getTime() + 60_000);
    expect(await status()).toBe("gone");
    await writeFile(files().lock, JSON.stringify(await me()));
    expect(await status()).toBe("starting");
  });

  it("is running while the supervisor lives, and stopping once it was asked", async () => {
    await write(await me());
    expect(await status()).toBe("running");
    await writeFile(files().stop, "");
    expect(await status()).toBe("stopping");
  });

  it("is not fooled by another process with the same id", async () => {
    await write({ ...(await me()), startTime: "1" });
    expect(await status()).toBe("gone");
  });

  it("is ended only when the log has the attempt's own end", async () => {
    await write({ pid, startTime: "1" });
    await writeFile(files().log, `${event("phase")}{"type":"end"}\n\\${event("end")}`);
    expect(await status()).toBe("gone");
    await writeFile(files().log, `${"x".repeat(200_000)}\n${event("end")}`);
    expect(await status()).toBe("ended");
  });
});

describe("reading", () => {
  it("waits for the end of a line, and does not when its writer is gone", async () => {
    await writeFile(files().processes, JSON.stringify(await me()));
    await writeFile(files().log, `one\n${event("phase")}tw`);
    const first = await target().read(submission, null);
    expect(first.logs.map(({ text }) => text)).toEqual(["one"]);
    expect(first.events.map(({ type }) => type)).toEqual(["phase"]);
    expect(await target().read(submission, first.cursor)).toMatchObject({
      logs: [],
      cursor: first.cursor,
    });

    await writeFile(files().log, `one\n${event("phase")}two é\nthr`);
    await writeFile(files().processes, JSON.stringify({ pid, startTime: "1" }));
    const second = await target().read(submission, first.cursor);
    expect(second.logs.map(({ text }) => text)).toEqual(["two é", "thr"]);
    expect((await target().read(submission, second.cursor)).cursor).toBe(second.cursor);
  });

  it("goes page by page through a log of any size, and through a line of any length", async () => {
    const lines = Array.from({ length: 3000 }, (_, n) => `${n} ${"é".repeat(500)}`);
    await writeFile(files().log, `${lines.join("\n")}\n${"z".repeat(2_500_000)}\nlast\n`);
    const read: string[] = [];
    let offset = -1;
    for (let next = 0; next !== offset;) {
      offset = next;
      const page = await readLog(files().log, offset, false);
      read.push(...page.lines);
      next = page.next;
    }
    expect(read.slice(0, 3000)).toEqual(lines);
    expect(read.slice(3000, -1).join("")).toBe("z".repeat(2_500_000));
    expect(read.at(-1)).toBe("last");
  });

  it("takes a missing log for an empty one", async () => {
    expect(await readLog(files().log, 0, false)).toEqual({ lines: [], next: 0 });
  });
});

describe("the trackers", () => {
  const asking = async (script: string, ...trackers: Plan["trackers"]) => {
    const path = join(project, "python");
    await writeFile(path, `#!/bin/sh\n${script}\n`);
    await chmod(path, 0o755);
    return (await target(path).preflight({ ...plan(), trackers })).filter((check) =>
      check.name.startsWith("tracker"),
    );
  };

  it("are not asked for when there are none", async () => {
    expect(await asking("exit 1")).toEqual([]);
  });

  it("that are not installed fail the check, with what installs them", async () => {
    const [wandb, comet] = await asking(`echo '["comet"]'`, "wandb", "comet");
    expect(wandb).toMatchObject({ name: "tracker wandb", result: "ok" });
    expect(comet).toMatchObject({ result: "failed", code: "E_PYTHON_INSTALL" });
    expect(comet!.hint).toBe(`uv pip install --python ${join(project, "python")} comet-ml`);
  });
});

describe("the layout", () => {
  const data = (...parts: string[]) => join(submission.folder, "input", "data", ...parts);

  it("is that of the container contract, without what the trainer does not need", async () => {
    await layOut(submission, join(project, "trainer"));
    expect(await readdir(data("moxi"), { recursive: true })).toEqual(
      expect.arrayContaining(["bootstrap.py", join("moxi_train", "main.py")]),
    );
    expect(await readdir(data("moxi", "moxi_train"))).toEqual(["main.py"]);
    expect(await readFile(data("train", "train.jsonl"), "utf8")).toBe('{"text":"a"}\n');
    expect(await readFile(data("eval", "eval.jsonl"), "utf8")).toBe('{"text":"b"}\n');
    expect((await stat(submission.dataset.train)).nlink).toBe(2);
    const job = jobSchema.parse(JSON.parse(await readFile(data("job", "job.json"), "utf8")));
    expect(job).toMatchObject({ run, attempt: 1, nonce: submission.attempt.nonce, processes: 1 });
    expect(job.trainer.modelPath).toBe("/models/base");
    expect((await readdir(data())).toSorted()).toEqual(["eval", "job", "moxi", "train"]);
  });

  it("keeps code and rows for the next attempt, and writes its job", async () => {
    await layOut(submission, join(project, "trainer"));
    await writeFile(join(project, "trainer", "bootstrap.py"), "newer");
    const attempt = newAttempt(run, 2, "local", at);
    const dataset = { train: "/gone/train.jsonl", eval: null };
    await layOut({ ...submission, attempt, dataset }, join(project, "trainer"));
    expect(await readFile(data("moxi", "bootstrap.py"), "utf8")).not.toBe("newer");
    const job: unknown = JSON.parse(await readFile(data("job", "job.json"), "utf8"));
    expect(job).toMatchObject({ attempt: 2, nonce: attempt.nonce });
  });

  it("leaves no half of a folder when a file is missing", async () => {
    const dataset = { train: join(project, "none.jsonl"), eval: null };
    await expect(layOut({ ...submission, dataset }, join(project, "trainer"))).rejects.toThrow(
      "ENOENT",
    );
    expect((await readdir(data())).toSorted()).toEqual(["job", "moxi"]);
  });
});

describe("starting", () => {
  const python = async (script: string) => {
    const path = join(project, "python");
    await writeFile(path, `#!/bin/sh\n${script}\n`);
    await chmod(path, 0o755);
    return path;
  };

  it("says that Python cannot be started", async () => {
    const error = await failure(target("/no/python").submit(submission));
    expect(error.code).toBe("E_PYTHON_MISSING");
    expect(error.place?.file).toBe("/no/python");
  });

  it("says what the supervisor printed when it died at once", async () => {
    const script = await python('echo one; printf "\\033[31mtwo\\n" >&2; exit 3');
    const error = await failure(target(script).submit(submission));
    expect(error.code).toBe("E_RUN_FAILED");
    expect(error.message).toBe("the run could not be started (exit code 3): \\u001b[31mtwo");
    expect(error.details).toEqual(["one", "\\u001b[31mtwo"]);
  });

  it("knows a full disk", async () => {
    const script = await python('echo "OSError: [Errno 28] No space left on device"; exit 1');
    const error = await failure(target(script).submit(submission));
    expect(error.code).toBe("E_DISK_FULL");
  });

  it("gives up on a supervisor that does not come to life, and ends it", async () => {
    const script = await python(`echo $$ > ${join(project, "pid")}; exec sleep 60`);
    const error = await failure(target(script).submit(submission));
    expect(error.message).toContain("nothing for 60 s");
    const child = Number(await readFile(join(project, "pid"), "utf8"));
    while ((await processStartTime(child)) !== undefined) await new Promise(setImmediate);
  });

  it("hides the user's own Python settings from the supervisor", async () => {
    const script = await python(`env > ${join(project, "env")}; exit 1`);
    await failure(target(script).submit(submission));
    const env = await readFile(join(project, "env"), "utf8");
    expect(env).toContain(`MOXI_ML_ROOT=${submission.folder}\n`);
    expect(env).toContain(`MOXI_MACHINE_LOCK=${machineLock({ env: {}, home: project })}\n`);
    expect(env).not.toContain("PYTHONPATH");
  });

  it("never lets two attempts train at once", async () => {
    const trainer = spawn("sleep", ["60"]);
    const identity = { pid: trainer.pid!, startTime: await processStartTime(trainer.pid!) };
    const dead = { pid, startTime: "1" };
    await writeFile(files().processes, JSON.stringify({ ...dead, trainer: identity }));
    const second = { ...submission, attempt: newAttempt(run, 2, "local", at) };
    const error = await failure(target().submit(second));
    expect(error.code).toBe("E_RUN_STATE");
    expect(error.hint).toContain(`kill ${trainer.pid}`);
    expect(slept).toBeGreaterThanOrEqual(10_000);
    expect(await readdir(submission.folder)).toEqual(["output"]);
    trainer.kill();
  });
});

describe("the machine", () => {
  const holder = (identity: object) =>
    mkdir(join(project, "moxi"), { recursive: true }).then(() =>
      writeFile(
        join(project, "moxi", "machine.lock"),
        JSON.stringify({ run, folder: "/p/.moxi/runs/x", ...identity }),
      ),
    );
  const surroundings = () => ({ env: { XDG_STATE_HOME: project }, home: "/home/nobody" });

  it("is held by a living run only", async () => {
    expect(await machineHolder(surroundings())).toBeNull();
    await holder(await me());
    expect(await machineHolder(surroundings())).toEqual({ run, folder: "/p/.moxi/runs/x" });
    await holder({ pid, startTime: "1" });
    expect(await machineHolder(surroundings())).toBeNull();
    await writeFile(join(project, "moxi", "machine.lock"), "");
    expect(await machineHolder(surroundings())).toBeNull();
  });

  it("keeps its lock where the user keeps state; a relative place is none", () => {
    expect(machineLock({ env: { XDG_STATE_HOME: "/s" }, home: "/h" })).toBe("/s/moxi/machine.lock");
    const usual = "/h/.local/state/moxi/machine.lock";
    expect(machineLock({ env: { XDG_STATE_HOME: "s" }, home: "/h" })).toBe(usual);
    expect(machineLock({ env: {}, home: "/h" })).toBe(usual);
  });

  it("counts the GPUs that CUDA may use", async () => {
    const tool = join(project, "nvidia-smi");
    await writeFile(
      tool,
      '#!/bin/sh\necho "GPU 0: NVIDIA L4 (UUID: x)\nGPU 1: NVIDIA L4 (UUID: y)"\n',
    );
    await chmod(tool, 0o755);
    const gpus = async (visible?: string) => {
      const PATH = `${project}:/bin:/usr/bin`;
      const env = visible === undefined ? { PATH } : { PATH, CUDA_VISIBLE_DEVICES: visible };
      const { accelerator, accelerators } = await findMachine(env, "linux", "x64");
      return [accelerator, accelerators];
    };
    expect(await gpus()).toEqual(["cuda", 2]);
    expect(await gpus("1")).toEqual(["cuda", 1]);
    expect(await gpus("")).toEqual(["cpu", 0]);
    expect(await gpus("-1")).toEqual(["cpu", 0]);
    await writeFile(tool, "#!/bin/sh\necho 'GPU 0: never mind'; exit 9\n");
    expect(await gpus()).toEqual(["cpu", 0]);
  });

  it("knows Apple's GPU", async () => {
    expect(await findMachine({ PATH: project }, "darwin", "arm64")).toMatchObject({
      accelerator: "mps",
    });
    expect(await findMachine({ PATH: project }, "darwin", "x64")).toMatchObject({
      accelerator: "cpu",
    });
  });

  it("looks at the disk of a folder that is not there yet too", async () => {
    const check = await checkDisk(join(project, "not", "yet"), plan());
    expect(check.message).toMatch(/^[\d.]+ [kMGT]?B are free on the disk/);
  });

  it.each([
    [50e6, plan(), "failed", "at least 100 MB"],
    [200e6, plan(), "ok", "200 MB are free"],
    [200e6, plan({ model: "org/base", method: "lora" }), "warning", "may need 1.0 GB"],
    [2e9, plan({ model: "org/base", method: "lora" }), "ok", "2.0 GB are free"],
    [2e9, plan({ model: "org/base", method: "full" }), "warning", "may need 5.0 GB"],
  ])("with %d bytes free", (free, of, result, message) => {
    const check = judgeRoom(free, "/p", of);
    expect(check.result).toBe(result);
    expect(check.message).toContain(message);
    expect(check.code).toBe(result === "failed" ? "E_DISK_FULL" : undefined);
  });
});
