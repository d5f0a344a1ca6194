import { spawn, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createOwner, hiddenName } from "../../src/storage/hidden.ts";
import { upload } from "../../src/storage/upload.ts";
import { startFaults } from "./faults.ts";
import type { FaultProxy } from "./faults.ts";
import { kinds, startServer } from "./server.ts";
import type { S3Server } from "./server.ts";
import { createDesk, mib } from "./setup.ts";
import type { Desk } from "./setup.ts";

// `moxi storage`, as a user's script calls it: with pipes for its outputs.

const kind = kinds[0];

/** Of a process that has ended, on this machine. */
async function endedOwner(): Promise<string> {
  const owner = await createOwner();
  owner.release();
  const { stdout } = spawnSync(process.execPath, ["-p", "process.pid"], { encoding: "utf8" });
  return owner.name.replace(/^\d+/, stdout.trim());
}

const bin = resolve(import.meta.dirname, "../../bin/moxi.cjs");

describe.skipIf(kind === undefined)(`moxi storage before ${kind}`, () => {
  let server: S3Server;
  let proxy: FaultProxy;
  let desk: Desk;

  beforeAll(async () => {
    server = await startServer(kind!);
    proxy = await startFaults(server);
    desk = createDesk(server);
    // Credentials that .env names, as everywhere.
    const { AWS_ACCESS_KEY_ID: id, AWS_SECRET_ACCESS_KEY: secret } = desk.env();
    writeFileSync(desk.path(".env"), `AWS_ACCESS_KEY=${id}\nAWS_SECRET_KEY=${secret}\n`);
  });
  afterAll(() => {
    proxy?.stop();
    desk?.close();
    server?.stop();
  });

  const start = (...args: string[]) => {
    const { AWS_ACCESS_KEY_ID: _id, AWS_SECRET_ACCESS_KEY: _secret, ...env } = desk.env(proxy.url);
    const child = spawn(process.execPath, [bin, "storage", ...args], {
      cwd: desk.folder,
      env: { PATH: process.env["PATH"], HOME: desk.folder, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const written = { stdout: "", stderr: "" };
    child.stdout.on("data", (chunk: Buffer) => (written.stdout += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (written.stderr += chunk.toString()));
    const ended = new Promise<{ code: number | null; stdout: string; stderr: string }>((done) => {
      child.once("close", (code) => done({ code, ...written }));
    });
    return { child, ended };
  };
  const moxi = (...args: string[]) => start(...args).ended;
  const same = (one: string, other: string) =>
    readFileSync(desk.path(one)).equals(readFileSync(desk.path(other)));

  test("a folder and a file go there and come back; a pipe hears the result alone", async () => {
    desk.file("tree/a.txt", 10);
    desk.file("tree/deep/b é.bin", 9 * mib);
    desk.file(
      "tree/.moxi-0123456789abcdef-0123456789abcdef-1-0123456789abcdef-0123456789abcdef-01234567.part",
      10,
    );
    const sent = await moxi("cp", "tree", "s3://moxi-test/tree");
    expect(sent).toEqual({ code: 0, stdout: "2 files, 9.4 MB\n", stderr: "" });
    expect(await moxi("cp", "s3://moxi-test/tree/", "back")).toMatchObject({ code: 0 });
    expect(same("tree/deep/b é.bin", "back/deep/b é.bin")).toBe(true);
    expect(readdirSync(desk.path("back"))).toEqual(["a.txt", "deep"]);

    for (const [source, target, lies = "tree/a.txt"] of [
      ["tree/a.txt", "s3://moxi-test/named"],
      ["s3://moxi-test/named", "fetched", "fetched"],
      ["s3://moxi-test/named", "into/", "into/named"],
      ["s3://moxi-test/named", "back", "back/named"],
      ["tree/a.txt", "s3://moxi-test/into/"],
      ["s3://moxi-test/into/a.txt", "again", "again"],
    ] as const) {
      expect(await moxi("cp", source, target)).toMatchObject({ code: 0, stdout: "1 file, 10 B\n" });
      expect(same("tree/a.txt", lies)).toBe(true);
    }
  });

  test("sync moves what differs in content, whatever the times say", async () => {
    const path = desk.file("sync/one", 1000);
    desk.file("sync/large", 11 * mib);
    desk.file("sync/two", 1000);
    expect(await moxi("sync", "sync", "s3://moxi-test/sync")).toMatchObject({
      stdout: "3 files, 11.5 MB\n",
    });
    desk.file("sync/one", 1000);
    utimesSync(path, new Date(0), new Date(0));
    utimesSync(desk.path("sync/two"), new Date(), new Date());
    const before = proxy.seen.length;
    expect(await moxi("sync", "sync", "s3://moxi-test/sync")).toMatchObject({
      stdout: "1 file, 1.0 kB; 2 unchanged\n",
    });
    const puts = proxy.seen
      .slice(before)
      .filter(({ operation }) => /^(Put|Upload)/.test(operation));
    expect(puts.map(({ key }) => key)).toEqual([expect.stringMatching(/sync\/one$/)]);

    expect(await moxi("sync", "s3://moxi-test/sync", "copy")).toMatchObject({ code: 0 });
    writeFileSync(desk.path("copy/large"), Buffer.alloc(11 * mib));
    writeFileSync(desk.path("copy/own"), "stays");
    const left = desk.path(`copy/${hiddenName("two", '"1"', await endedOwner())}`);
    writeFileSync(left, "of a version that S3 has no more");
    expect(await moxi("sync", "s3://moxi-test/sync", "copy")).toMatchObject({
      stdout: "1 file, 11.5 MB; 2 unchanged\n",
    });
    expect(same("sync/large", "copy/large")).toBe(true);
    expect(existsSync(desk.path("copy/own"))).toBe(true);
    expect(existsSync(left)).toBe(false);
  });

  test("--json tells progress in bytes, rate and time left, then the result", async () => {
    desk.file("told", 17 * mib);
    const { code, stdout, stderr } = await moxi("cp", "told", "s3://moxi-test/told", "--json");
    const lines = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect([code, stderr]).toEqual([0, ""]);
    expect(lines.at(-1)).toEqual({
      type: "result",
      formatVersion: 1,
      files: 1,
      bytes: 17 * mib,
      resumedBytes: 0,
      unchangedFiles: 0,
    });
    const told = lines.slice(0, -1).map(({ notice }) => notice as Record<string, unknown>);
    expect(told[0]).toMatchObject({ type: "task", id: "upload", state: "started" });
    expect(told.find(({ state }) => state === "progress")).toMatchObject({
      transfer: {
        bytes: expect.any(Number),
        totalBytes: 17 * mib,
        bytesPerSecond: expect.any(Number),
      },
    });
  });

  test("Ctrl-C ends it at once, and the same command goes on", async () => {
    desk.file("cut", 17 * mib);
    const first = start("cp", "cut", "s3://moxi-test/cut");
    let parts = 0;
    proxy.fault = ({ operation }) => {
      if (operation !== "UploadPart") return undefined;
      parts += 1;
      // Once: a second Ctrl-C ends it without a word.
      return parts === 2 ? { call: () => first.child.kill("SIGINT") } : undefined;
    };
    const { code, stderr } = await first.ended;
    proxy.fault = () => undefined;
    expect(code).toBe(130);
    expect(stderr).toContain("goes on where it stopped");
    expect(await moxi("cp", "cut", "s3://moxi-test/cut")).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^1 file, 17.8 MB; \d.* of it were there\n$/),
    });
    await moxi("cp", "s3://moxi-test/cut", "cut-back");
    expect(same("cut", "cut-back")).toBe(true);
  });

  test("links, pipes and devices stay; hostile names stop it before a byte is sent", async () => {
    desk.file("odd/plain", 1);
    symlinkSync("/etc/passwd", desk.path("odd/link"));
    const before = proxy.seen.length;
    expect(await moxi("cp", "odd", "s3://moxi-test/odd")).toMatchObject({
      code: 0,
      stdout: "1 file, 1 B\n",
      stderr: expect.stringContaining("left out: 1 of them"),
    });
    expect(proxy.seen.slice(before).map(({ key }) => key)).toEqual([
      expect.stringMatching(/odd\/plain$/),
    ]);
    for (const name of ["new\nline", "\u001b[31mred", "back\\slash"]) {
      mkdirSync(desk.path("hostile"), { recursive: true });
      writeFileSync(join(desk.path("hostile"), name), "x");
      const sent = proxy.seen.length;
      const { code, stderr } = await moxi("cp", "hostile", "s3://moxi-test/hostile");
      expect([code, proxy.seen.length]).toEqual([2, sent]);
      expect(stderr).toContain("E_FILE_NAME");
      expect(stderr).not.toContain("\u001b[31m");
    }
    await upload(
      await desk.aws(),
      [{ path: desk.path("odd/plain"), key: "remote/up\\..\\there" }],
      { ...desk.options, ifAbsent: false },
    );
    expect(await moxi("cp", "s3://moxi-test/remote", "remote")).toMatchObject({ code: 2 });
    expect(existsSync(desk.path("remote"))).toBe(false);
  });

  test("below a file nothing is fetched", async () => {
    desk.file("below", 10);
    await moxi("cp", "below", "s3://moxi-test/below/");
    for (const source of ["s3://moxi-test/below", "s3://moxi-test/below/below"]) {
      const ended = await moxi("cp", source, "below/into/it");
      expect(ended).toMatchObject({ code: 2, stdout: "" });
      expect(ended.stderr).toContain("has to be a folder, and a file lies in its way");
    }
  });

  test.each<[string[], number, string]>([
    [["cp", "a"], 2, "DST is missing"],
    [["cp", "a", "b"], 2, "both on this machine"],
    [["sync", "s3://moxi-test/a", "s3://moxi-test/b"], 2, "both on S3"],
    [["cp", "none", "s3://moxi-test/none"], 2, "there is no file or folder"],
    [["cp", "s3://moxi-test/none", "none"], 2, "there is nothing below s3://moxi-test/none/"],
    [["cp", "s3://Moxi_Test/none", "none"], 2, "no such address"],
    [["cp", ".env", "s3://moxi-nowhere/x"], 2, "does not exist"],
    [["cp", "s3://moxi-test/tree", ".env"], 2, "is a file"],
    [["cp", ".env", "s3://moxi-test/a\nb"], 2, "has a control character in its name"],
    [["sync", ".", "s3://moxi-test/../up/"], 2, "has .. in its name"],
  ])("%j ends with %s: %s", async (args, code, text) => {
    const ended = await moxi(...args);
    expect(ended).toMatchObject({ code, stdout: "" });
    expect(ended.stderr).toContain(text);
    const last = (await moxi(...args, "--json")).stdout.trimEnd().split("\n").at(-1)!;
    expect(JSON.parse(last)).toMatchObject({ type: "error", error: { exitCode: code } });
  });
});
