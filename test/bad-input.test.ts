import { execFile, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readdir } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ErrorJson } from "../src/base/errors.ts";
import { createProject, exampleRows } from "./project.ts";
import type { Project } from "./project.ts";

// Everything that can be wrong before a run starts: each with its code, place, remedy and exit
// code, and nothing half-made left behind.

let project: Project;
beforeEach(async () => {
  project = await createProject();
});
afterEach(() => project.remove());

/** Runs a train that must be refused; gives the error, after looking that nothing was started. */
async function refused(...args: string[]): Promise<ErrorJson & { exit: number | null }> {
  const { code, stdout } = await project.moxi("train", "--json", ...args);
  const last = stdout.trimEnd().split("\n").at(-1)!;
  const { error } = JSON.parse(last) as { error: ErrorJson };
  expect(error, stdout).toBeDefined();
  expect(error.exitCode).toBe(code);
  expect(error.hint, "a remedy").toBeTruthy();
  const runs = join(project.folder, ".moxi/runs");
  expect(existsSync(runs) ? await readdir(runs) : []).toEqual([]);
  return { ...error, exit: code };
}

const dataset = (content: string | Uint8Array) => project.write("rows.json", content);
const rows = JSON.stringify(exampleRows(12));

describe("a dataset", () => {
  it("that is missing", async () => {
    expect(await refused("--dataset", "none.json")).toMatchObject({
      code: "E_DATASET_MISSING",
      exit: 2,
      place: { file: expect.stringContaining("none.json") },
    });
    expect(await refused()).toMatchObject({ code: "E_DATASET_MISSING", exit: 2 });
  });

  it("that is empty, or has no rows", async () => {
    for (const content of ["", " \n", "[]"]) {
      await dataset(content);
      const error = await refused("--dataset", "rows.json");
      expect(error).toMatchObject({ code: "E_DATASET_EMPTY", exit: 3 });
    }
  });

  it("that is no JSON, with the line and column", async () => {
    await dataset('[\n  {"instruction": "a", "output": "b"},\n  {"instruction": oops}\n]');
    expect(await refused("--dataset", "rows.json")).toMatchObject({
      code: "E_DATASET_SYNTAX",
      exit: 3,
      place: { line: 3, column: 19 },
    });
  });

  it("with a row without an answer, and one of a wrong type", async () => {
    await dataset(
      '{"instruction":"a","output":"b"}\n{"instruction":"a"}\n{"instruction":"a","output":7}\n',
    );
    const error = await refused("--dataset", "rows.json");
    expect(error).toMatchObject({ code: "E_DATASET_ROWS", exit: 3, place: { line: 2, row: 2 } });
    expect(JSON.stringify([error.message, error.details])).toMatch(/3/);
  });
});

describe("a config", () => {
  it("with an unknown key or a wrong value", async () => {
    await dataset(rows);
    await project.write("moxi.config.json", '{\n  "dataset": "rows.json",\n  "epohcs": 3\n}');
    const unknown = await refused();
    expect(unknown).toMatchObject({ code: "E_CONFIG_INVALID", exit: 2, place: { line: 3 } });
    expect(JSON.stringify(unknown)).toContain("epochs");
    await project.write("moxi.config.json", '{"dataset": "rows.json", "epochs": "many"}');
    expect(await refused()).toMatchObject({ code: "E_CONFIG_INVALID", exit: 2 });
  });

  it("beside another", async () => {
    await project.write("moxi.config.json", "{}");
    await project.write("moxi.config.ts", "export default {};");
    expect(await refused()).toMatchObject({ code: "E_CONFIG_AMBIGUOUS", exit: 2 });
  });
});

describe("a model", () => {
  const withHub = async (
    status: number,
    headers: Record<string, string>,
    check: () => Promise<void>,
  ) => {
    const hub = createServer((_request, response) => {
      response.writeHead(status, headers).end("{}");
    });
    await new Promise<void>((done) => hub.listen(0, "127.0.0.1", done));
    const { port } = hub.address() as AddressInfo;
    const previous = project;
    project = await createProject({ HF_ENDPOINT: `http://127.0.0.1:${port}` });
    try {
      await dataset(rows);
      await check();
    } finally {
      hub.close();
      await previous.remove();
    }
  };

  it("that the hub does not know", () =>
    withHub(404, {}, async () => {
      const error = await refused("--dataset", "rows.json", "--model", "nobody/nothing");
      expect(error).toMatchObject({ code: "E_MODEL_NOT_FOUND", exit: 2 });
    }));

  it("that is gated, without a token", async () => {
    for (const status of [401, 403]) {
      await withHub(status, { "x-error-code": "GatedRepo" }, async () => {
        const error = await refused("--dataset", "rows.json", "--model", "org/gated");
        expect(error).toMatchObject({ code: "E_MODEL_GATED", exit: 4 });
        expect(error.hint).toContain("HF_TOKEN");
      });
    }
  });

  it("that is a folder without one", async () => {
    await dataset(rows);
    await mkdir(join(project.folder, "model"));
    const error = await refused("--dataset", "rows.json", "--model", "./model");
    expect(error).toMatchObject({ code: "E_MODEL_UNSUPPORTED", exit: 2 });
    expect(error.message).toContain("config.json");
  });
});

describe("the machine", () => {
  it("without Python", async () => {
    const previous = project;
    const empty = await createProject();
    project = await createProject({ PATH: empty.folder, XDG_CACHE_HOME: empty.folder });
    await dataset(rows);
    const error = await refused("--dataset", "rows.json");
    expect(error).toMatchObject({ code: "E_PYTHON_MISSING", exit: 1 });
    await Promise.all([previous.remove(), empty.remove()]);
  });

  // A file system of its own needs user namespaces, which some containers refuse.
  const namespaces = spawnSync("unshare", ["-Urm", "true"]).status === 0;

  it.runIf(namespaces)("whose disk is full", async () => {
    await dataset(JSON.stringify(exampleRows(3000)));
    const bin = resolve(import.meta.dirname, "../bin/moxi.cjs");
    const script = `
      mkdir .moxi && mount -t tmpfs -o size=64k tmpfs .moxi
      ${process.execPath} ${bin} train --json --dataset rows.json
      echo "exit $?"; find .moxi -type f -not -name .gitignore`;
    const { stdout } = await promisify(execFile)("unshare", ["-Urm", "sh", "-c", script], {
      cwd: project.folder,
      env: project.env,
    });
    const [answer, left] = stdout.trimEnd().split(/\n(?=exit )/);
    expect(JSON.parse(answer!.split("\n").at(-1)!)).toMatchObject({
      error: { code: "E_DISK_FULL" },
    });
    expect(left).toBe("exit 1");
  });
});

describe("a run folder that is not ours", () => {
  it("is told, and left alone", async () => {
    const folder = join(project.folder, ".moxi/runs/moxi-mine");
    await mkdir(folder, { recursive: true });
    const shown = await project.moxi("show", "--json");
    expect(shown.code).toBe(2);
    expect(JSON.parse(shown.stdout)).toMatchObject({
      error: { code: "E_RUN_FOLDER", place: { file: expect.stringContaining("moxi-mine") } },
    });
    const listed = await project.moxi("runs", "--json");
    expect(JSON.parse(listed.stdout).runs).toMatchObject([
      { run: "moxi-mine", status: "unreadable" },
    ]);
    expect(await readdir(folder)).toEqual([]);
  });
});

it("refuses a copy within one machine before an account is asked for", async () => {
  const { code, stderr } = await project.moxi("storage", "cp", "a", "b");
  expect([code, stderr]).toEqual([2, expect.stringContaining("both on this machine")]);
});
