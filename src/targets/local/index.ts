import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { MoxiError } from "../../base/errors.ts";
import type { TargetStatus } from "../../run/attempt.ts";
import { lockHolder, withLock } from "../../store/lock.ts";
import { isAlive } from "../../base/process.ts";
import { sortLines } from "../lines.ts";
import type { Capabilities, Continuation, Reading, RunRef, Submission, Target } from "../target.ts";
import { fetchLocal } from "./fetch.ts";
import { attemptFiles } from "./files.ts";
import { exists, layOut } from "./layout.ts";
import { lastLines, readLog } from "./log.ts";
import {
  checkDisk,
  checkMethod,
  checkTrackers,
  findMachine,
  machineHolder,
  machineLock,
} from "./machine.ts";
import { milestones } from "./milestones.ts";
import { launch, readProcesses, signal } from "./supervisor.ts";

export interface LocalTargetOptions {
  /** The interpreter that trains; only `submit` needs it. */
  readonly python: string;
  /** Holds bootstrap.py and moxi_train/. */
  readonly trainerFolder: string;
  /** The project's folder, whose disk the runs will fill. */
  readonly project: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string;
  readonly clock: { now(): Date; sleep(milliseconds: number): Promise<void> };
  readonly platform?: NodeJS.Platform;
  readonly arch?: string;
  /** Fills the ML root. Default: with what a run on this machine needs. */
  readonly fill?: (submission: Submission) => Promise<void>;
}

const capabilities: Capabilities = {
  spot: false,
  warmPool: false,
  maxNodes: 1,
  paid: false,
  remote: false,
  abort: true,
  pollMs: [200, 200],
};

/** How long an attempt that was recorded may take to be launched by whoever recorded it. */
const startGraceMs = 10_000;
const pauseMs = 50;
/** How long the kernel may take to end a process that it has killed. */
const deathMs = 10_000;

/** Trains on this machine: a detached bootstrap.py with the run's folder as its ML root. */
export function createLocalTarget(options: LocalTargetOptions): Target {
  const { python, trainerFolder, project, env, home, clock, platform, arch } = options;
  const { fill = (submission: Submission) => layOut(submission, trainerFolder) } = options;
  const sleep = (milliseconds: number) => clock.sleep(milliseconds);

  async function status(ref: RunRef): Promise<TargetStatus> {
    const files = attemptFiles(ref);
    const processes = await readProcesses(files);
    if (processes === undefined) {
      const age = Math.abs(clock.now().getTime() - Date.parse(ref.attempt.at));
      const starts = age < startGraceMs || (await lockHolder(files.lock)) !== undefined;
      return { state: starts ? "starting" : "gone" };
    }
    if (await isAlive(processes.supervisor)) {
      return { state: (await exists(files.stop)) ? "stopping" : "running" };
    }
    const { events } = sortLines(await lastLines(files.log), ref.attempt);
    return { state: events.some((event) => event.type === "end") ? "ended" : "gone" };
  }

  async function submit(submission: Submission | Continuation): Promise<void> {
    if ("kept" in submission) throw new TypeError("this machine keeps nothing by itself");
    const files = attemptFiles(submission);
    await mkdir(dirname(files.lock), { recursive: true });
    await withLock(files.lock, { sleep }, async () => {
      if ((await readProcesses(files)) !== undefined) return;
      await waitForEarlier(submission);
      await fill(submission);
      const lock = machineLock({ env, home });
      await mkdir(dirname(lock), { recursive: true });
      const environment = { ...env, MOXI_MACHINE_LOCK: lock };
      await launch({ python, folder: submission.folder, files, env: environment, sleep });
    });
  }

  /** Two trainers must never write the same checkpoints. */
  async function waitForEarlier(ref: RunRef): Promise<void> {
    for (let number = 1; number < ref.attempt.attempt; number++) {
      const earlier = { ...ref, attempt: { ...ref.attempt, attempt: number } };
      const processes = await readProcesses(attemptFiles(earlier));
      if (processes === undefined) continue;
      const { supervisor, trainer } = processes;
      const trains = async () => trainer !== undefined && (await isAlive(trainer));
      for (let waited = 0; (await isAlive(supervisor)) || (await trains()); waited += pauseMs) {
        if (waited >= deathMs) {
          const pid = (await isAlive(supervisor)) ? supervisor.pid : trainer!.pid;
          throw new MoxiError("E_RUN_STATE", `attempt ${number} of ${ref.run} still trains`, {
            hint: `moxi stop ${ref.run}, or kill ${pid} if that does not end it`,
          });
        }
        await sleep(pauseMs);
      }
    }
  }

  async function read(ref: RunRef, cursor: string | null): Promise<Reading> {
    // The status comes first: the log of an attempt that is over is complete.
    const { state } = await status(ref);
    const offset = Number(cursor ?? 0);
    const page = await readLog(
      attemptFiles(ref).log,
      offset,
      state === "ended" || state === "gone",
    );
    return { ...sortLines(page.lines, ref.attempt), cursor: String(page.next) };
  }

  async function stop(ref: RunRef, how: "checkpoint" | "abort"): Promise<void> {
    const files = attemptFiles(ref);
    while ((await status(ref)).state === "starting") await sleep(pauseMs);
    const processes = await readProcesses(files);
    if (processes === undefined) return;
    const { supervisor, trainer } = processes;
    // Before the signal, so that whoever sees the end of it knows why.
    if (await isAlive(supervisor)) await writeFile(files.stop, "");
    if (how === "checkpoint") return signal(supervisor, "SIGTERM", false);
    await signal(supervisor, "SIGKILL", true);
    await signal(trainer, "SIGKILL", true);
    for (let waited = 0; (await isAlive(supervisor)) && waited < deathMs; waited += pauseMs) {
      await sleep(pauseMs);
    }
  }

  return {
    name: "local",
    capabilities,
    prepare: () => {}, // nothing here takes long to answer
    machines: async () => [await findMachine(env, platform, arch)],
    cloud: () => Promise.resolve(null),
    price: () => Promise.resolve(undefined),
    preflight: async (plan) => [
      await checkDisk(join(project, ".moxi"), plan),
      ...(await checkMethod(python, env, plan)),
      ...(await checkTrackers(python, env, plan)),
    ],
    occupant: () => machineHolder({ env, home }),
    kept: () => Promise.resolve(null),
    submit,
    rehearse: () => Promise.resolve([]), // a process of this machine is no request
    status,
    read,
    stop,
    outputs: ({ folder }) => Promise.resolve({ artifact: join(folder, "model") }),
    // Nothing is kept but the run's own folder.
    list: () => Promise.resolve([]),
    record: () => Promise.resolve(undefined),
    milestones: (ref) => Promise.resolve(milestones(ref)),
    fetch: fetchLocal,
  };
}
