import { execFile, spawn } from "node:child_process";
import {
  copyFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pid } from "node:process";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { plan as recordedPlan } from "../../test/fixtures/story.ts";
import { MoxiError } from "../base/errors.ts";
import { newRunId } from "../run/id.ts";
import { listRunIds, newestRunId, resolveRun } from "./find.ts";
import { lockHolder, readIdentity, withLock } from "./lock.ts";
import { isAlive, processStartTime } from "../base/process.ts";
import { appendAttempt, createRun, newAttempt, readRun, runsFolder } from "./runs.ts";

const run = "moxi-20261123-141207-calm-otter-7f3k";
const now = new Date("2026-11-23T14:12:07Z");
const plan = recordedPlan();

let project: string;
let runs: string;
beforeEach(async () => {
  project = await mkdtemp(join(tmpdir(), "moxi-store-"));
  runs = runsFolder(project);
});
afterEach(async () => rm(project, { recursive: true, force: true }));

const first = () => newAttempt(run, 1, "local", now);
const create = () => createRun(runs, run, plan, first());

async function failure(work: Promise<unknown>): Promise<MoxiError> {
  const error: unknown = await work.catch((thrown: unknown) => thrown);
  if (!(error instanceof MoxiError)) throw new Error("no MoxiError was thrown", { cause: error });
  return error;
}

describe("a run's folder", () => {
  it("keeps the plan and the attempts, and stays out of git", async () => {
    const created = await create();
    expect(created.plan).toEqual(plan);
    const second = newAttempt(run, 2, "local", now);
    await appendAttempt(created, second);
    const read = await readRun(join(runs, run));
    expect(read).toEqual({ ...created, attempts: [...created.attempts, second] });
    expect(second).toMatchObject({ name: `${run}-a2`, at: "2026-11-23T14:12:07.000Z" });
    expect(second.nonce).not.toBe(created.attempts[0]!.nonce);
    expect(await readFile(join(project, ".moxi", ".gitignore"), "utf8")).toBe("*\n");
  });

  it("is never made twice, and the first stays as it was", async () => {
    await create();
    const before = await readFile(join(runs, run, "attempts.ndjson"), "utf8");
    const error = await failure(create());
    expect(error.code).toBe("E_RUN_ID_TAKEN");
    expect(await readFile(join(runs, run, "attempts.ndjson"), "utf8")).toBe(before);
    expect(await readdir(runs)).toEqual([run]);
  });

  it("is not left half-made when writing fails", async () => {
    const circular: Record<string, unknown> = {};
    circular["self"] = circular;
    await expect(createRun(runs, run, circular as never, first())).rejects.toThrow(TypeError);
    expect(await readdir(runs)).toEqual([]);
  });

  it("counts attempts once: who counted too early is told", async () => {
    const created = await create();
    const second = newAttempt(run, 2, "local", now);
    await appendAttempt(created, second);
    expect((await failure(appendAttempt(created, second))).code).toBe("E_RUN_STATE");
    expect((await readRun(created.folder)).attempts).toHaveLength(2);
  });

  it("passes over an attempt that a crash tore, and mends the file", async () => {
    const created = await create();
    const file = join(created.folder, "attempts.ndjson");
    await writeFile(file, '{"attempt":2,"na', { flag: "a" });
    expect((await readRun(created.folder)).attempts).toHaveLength(1);
    await appendAttempt(created, newAttempt(run, 2, "local", now));
    const lines = (await readFile(file, "utf8")).trimEnd().split("\n");
    expect(lines.map((line) => (JSON.parse(line) as { attempt: number }).attempt)).toEqual([1, 2]);
  });
});

describe("a folder that is not a run, or was damaged", () => {
  const damage = async (file: string, text: string | null) => {
    const { folder } = await create();
    if (text === null) await rm(join(folder, file));
    else await writeFile(join(folder, file), text);
    const error = await failure(readRun(folder));
    expect(error.code).toBe("E_RUN_FOLDER");
    expect(error.place?.file).toBe(join(folder, file));
    expect(error.hint).toContain(`rm -r '${folder}'`);
    return error;
  };

  it("is told by file and line", async () => {
    expect((await damage("plan.json", null)).message).toContain("missing");
  });

  it.each([
    ["plan.json", '{\n "formatVersion": 1,\n oops', 3],
    ["plan.json", '{"formatVersion":2}', undefined],
    ["plan.json", "[]", undefined],
    ["attempts.ndjson", "", undefined],
    ["attempts.ndjson", "{}\n", 1],
    ["attempts.ndjson", `${JSON.stringify(newAttempt(run, 1, "local", now))}\noops\n`, 2],
    ["attempts.ndjson", `${JSON.stringify(newAttempt("moxi-other", 1, "local", now))}\n`, 1],
  ])("%s: %j", async (file, text, line) => {
    expect((await damage(file, text)).place?.line).toBe(line);
  });

  it("is known by its hash when one value was changed", async () => {
    const changed = { ...plan, settings: { ...plan.settings, microBatch: 64 } };
    expect((await damage("plan.json", JSON.stringify(changed))).message).toContain("was changed");
  });
});

describe("finding runs", () => {
  const add = async (id: string, written?: Date) => {
    await mkdir(join(runs, id), { recursive: true });
    await writeFile(join(runs, id, "plan.json"), "{}");
    if (written !== undefined) await utimes(join(runs, id, "plan.json"), written, written);
  };

  it("lists the newest first; a chosen id is as old as its plan", async () => {
    await add("moxi-20261123-100000-calm-otter-aaaa");
    await add("moxi-20261123-120000-calm-otter-bbbb");
    await add("moxi-ci-42", new Date("2026-11-23T11:00:00Z"));
    await add(".moxi-20261123-130000-half-made-dddd.abc.tmp");
    await add("notes");
    expect(await listRunIds(runs)).toEqual([
      "moxi-20261123-120000-calm-otter-bbbb",
      "moxi-ci-42",
      "moxi-20261123-100000-calm-otter-aaaa",
    ]);
    expect(await listRunIds(runs, 2)).toHaveLength(2);
  });

  it("tells apart two runs of the same second", async () => {
    await add("moxi-20261123-100000-zany-yak-aaaa", new Date("2026-11-23T10:00:00.100Z"));
    await add("moxi-20261123-100000-able-ant-bbbb", new Date("2026-11-23T10:00:00.900Z"));
    expect(await newestRunId(runs)).toBe("moxi-20261123-100000-able-ant-bbbb");
  });

  it("takes an id, its end, its beginning, and nothing for the newest", async () => {
    const [a, b] = ["moxi-20261123-100000-calm-otter-aaaa", "moxi-20261124-100000-calm-fox-bbbb"];
    await add(a);
    await add(b);
    await add("moxi-ci-42", new Date("2026-11-22T11:00:00Z"));
    expect(await resolveRun(runs)).toBe(b);
    expect(await resolveRun(runs, a)).toBe(a);
    expect(await resolveRun(runs, a.slice(5))).toBe(a);
    expect(await resolveRun(runs, "calm-otter-aaaa")).toBe(a);
    expect(await resolveRun(runs, "aaaa")).toBe(a);
    expect(await resolveRun(runs, "20261124")).toBe(b);
    expect(await resolveRun(runs, "ci-42")).toBe("moxi-ci-42");
  });

  it.each(["", "calm", "../../etc", "moxi-2026"])("does not guess at %j", async (name) => {
    await add("moxi-20261123-100000-calm-otter-aaaa");
    await add("moxi-20261124-100000-calm-fox-bbbb");
    expect((await failure(resolveRun(runs, name))).code).toBe("E_RUN_NOT_FOUND");
  });

  it("names what fits, what is near, and what to do without a run", async () => {
    expect((await failure(resolveRun(runs))).hint).toContain("moxi train");
    await add("moxi-20261123-100000-calm-otter-aaaa");
    await add("moxi-20261124-100000-calm-fox-bbbb");
    expect((await failure(resolveRun(runs, "2026112"))).details).toHaveLength(2);
    const error = await failure(resolveRun(runs, "calm-oter-aaaa"));
    expect(error.hint).toBe("did you mean moxi-20261123-100000-calm-otter-aaaa?");
  });

  it("reads names only", async () => {
    await mkdir(runs, { recursive: true });
    const start = Date.parse("2026-01-01T00:00:00Z");
    const ids = Array.from({ length: 1000 }, (_, n) => newRunId(new Date(start + n * 60_000)));
    // Nothing lies in the folders, so a look inside would put a run last.
    for (const id of ids) await mkdir(join(runs, id));
    expect(await listRunIds(runs, 3)).toEqual(ids.slice(-3).toReversed());
  });
});

describe("a process", () => {
  it("is known by its id and its start", async () => {
    const child = spawn("sleep", ["60"]);
    const identity = { pid: child.pid!, startTime: (await processStartTime(child.pid!))! };
    expect(await isAlive(identity)).toBe(true);
    expect(await isAlive({ ...identity, startTime: "1" })).toBe(false);
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill();
    await ended;
    expect(await isAlive(identity)).toBe(false);
  });

  it.skipIf(process.platform !== "linux")("is dead as a zombie, whatever its name", async () => {
    const program = join(project, ") R 1 (");
    await copyFile("/bin/true", program);
    // The shell becomes a program that never asks after its child.
    const parent = spawn("sh", ["-c", '(sleep 0.1; exec "$0") & echo $!; exec sleep 60', program]);
    const zombie = await new Promise<number>((resolve) =>
      parent.stdout.once("data", (data: Buffer) => resolve(Number(String(data)))),
    );
    while (!/\) Z /.test(await readFile(`/proc/${zombie}/stat`, "utf8"))) await sleep(1);
    expect(await processStartTime(zombie)).toBeUndefined();
    parent.kill();
  });
});

const sleep = (milliseconds: number) =>
  new Promise<void>((resolve) => void setTimeout(resolve, milliseconds));

describe("the lock", () => {
  it("lets one at a time in", async () => {
    const path = join(project, "lock");
    let inside = 0;
    let most = 0;
    await Promise.all(
      Array.from({ length: 5 }, () =>
        withLock(path, { sleep: () => sleep(1) }, async () => {
          most = Math.max(most, ++inside);
          await sleep(2);
          inside -= 1;
        }),
      ),
    );
    expect(most).toBe(1);
    expect(await readdir(project)).toEqual([]);
  });

  it("is free again when its holder failed, and when it died", async () => {
    const path = join(project, "lock");
    await expect(withLock(path, { sleep }, () => Promise.reject(new Error("no")))).rejects.toThrow(
      "no",
    );
    const { stdout } = await promisify(execFile)("sh", ["-c", "echo $$"]);
    await writeFile(path, JSON.stringify({ pid: Number(stdout), startTime: "1" }));
    expect(await lockHolder(path)).toBeUndefined();
    expect(await withLock(path, { sleep }, () => Promise.resolve("in"))).toBe("in");
    await writeFile(path, "");
    expect(await withLock(path, { sleep }, () => Promise.resolve("in"))).toBe("in");
  });

  it("says who holds it when patience ends", async () => {
    const path = join(project, "lock");
    await withLock(path, { sleep }, async () => {
      expect(await readIdentity(path)).toEqual({ pid, startTime: await processStartTime(pid) });
      const other = withLock(path, { sleep: async () => {}, patienceMs: 200 }, async () => {});
      const error = await failure(other);
      expect(error.code).toBe("E_RUN_STATE");
      expect(error.message).toContain(String(pid));
    });
    expect(await readdir(project)).toEqual([]);
  });
});
