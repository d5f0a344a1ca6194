import { execFileSync } from "node:child_process";
import { chmod, cp, mkdir, mkdtemp, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { isMoxiError } from "../base/errors.ts";
import { sha256 } from "../base/hash.ts";
import { makeBundle } from "./bundle.ts";
import type { BundleOptions } from "./bundle.ts";

let folder: string;
let trainer: string;
let project: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "moxi-bundle-"));
  trainer = join(folder, "trainer");
  project = join(folder, "project");
  await write("trainer/bootstrap.py", "import moxi_train\n");
  await write("trainer/moxi_train/__init__.py", "");
  await write("trainer/moxi_train/finetune/main.py", "print(1)\n");
  await mkdir(project);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function write(name: string, text: string | Uint8Array): Promise<void> {
  await mkdir(join(folder, dirname(name)), { recursive: true });
  await writeFile(join(folder, name), text);
}
const bundle = (paths?: readonly string[], more: Partial<BundleOptions> = {}) =>
  makeBundle({ trainer, ...(paths ? { user: { folder: project, paths } } : {}), ...more });
const names = async (...args: Parameters<typeof bundle>) =>
  (await bundle(...args)).files.map(({ path }) => path);

const code = ["bootstrap.py", "moxi_train/__init__.py", "moxi_train/finetune/main.py"];

test("the listing is exactly the training program, the wheels and what was named", async () => {
  await write("project/reward.py", "def reward(): ...\n");
  const wheel = { name: "a", version: "1", file: "a-1-py3-none-any.whl", size: 3 };
  const wheels = [{ ...wheel, sha256: "e".repeat(64), path: join(folder, "a.whl") }];
  const { files, bytes, sha } = await bundle(["reward.py"], { wheels });
  expect(files.map(({ path, kind, size }) => [path, kind, size])).toEqual([
    ["bootstrap.py", "code", 18],
    ["moxi_train/__init__.py", "code", 0],
    ["moxi_train/finetune/main.py", "code", 9],
    ["user/reward.py", "user", 18],
    ["wheels/a-1-py3-none-any.whl", "wheel", 3],
  ]);
  expect(files[0]).toMatchObject({
    source: join(trainer, "bootstrap.py"),
    sha256: sha256("import moxi_train\n"),
  });
  expect(bytes).toBe(48);
  expect(sha).toMatch(/^[0-9a-f]{64}$/);
});

describe("the same content has the same name:", () => {
  test("whatever the modes, times, order of writing and leftovers of an editor", async () => {
    await write("project/b/x.py", "1");
    await write("project/a.py", "2");
    const first = await bundle(["a.py", "b"]);
    const other = join(folder, "elsewhere");
    await mkdir(other);
    const before = process.umask(0o077);
    try {
      for (const name of ["moxi_train", "bootstrap.py"]) {
        await cp(join(trainer, name), join(other, name), { recursive: true });
      }
      await mkdir(join(folder, "again/b"), { recursive: true });
      await writeFile(join(folder, "again/a.py"), "2");
      await writeFile(join(folder, "again/b/x.py"), "1");
    } finally {
      process.umask(before);
    }
    await utimes(join(other, "bootstrap.py"), 1, 1);
    await chmod(join(other, "bootstrap.py"), 0o777);
    await write("elsewhere/moxi_train/__pycache__/main.cpython-312.pyc", "cache");
    await write("elsewhere/moxi_train/main.py~", "editor");
    const second = await makeBundle({
      trainer: other,
      user: { folder: join(folder, "again"), paths: ["b/", "./a.py", "b/x.py"] },
    });
    expect(second.sha).toBe(first.sha);
    expect(second.files.map(({ path }) => path)).toEqual(first.files.map(({ path }) => path));
  });

  test("macOS writes an accent as two characters, and the name is one", async () => {
    await write("project/one/caf\u00e9.py", "1");
    await write("project/two/cafe\u0301.py", "1");
    const of = (name: string) =>
      makeBundle({ trainer, user: { folder: join(project, name), paths: ["."] } });
    expect((await of("one")).sha).toBe((await of("two")).sha);
    await write("project/one/cafe\u0301.py", "2");
    await expect(of("one")).rejects.toMatchObject({ code: "E_BUNDLE" });
  });

  test("another byte, name or place is another", async () => {
    const shas = new Set([(await bundle()).sha]);
    await write("trainer/moxi_train/finetune/main.py", "print(2)\n");
    shas.add((await bundle()).sha);
    await write("project/a.py", "1");
    shas.add((await bundle(["a.py"])).sha);
    await write("project/b/a.py", "1");
    shas.add((await bundle(["b"])).sha);
    expect(shas.size).toBe(4);
  });
});

test("what .gitignore files leave out is what git leaves out", async () => {
  const rules: Record<string, string> = {
    ".gitignore": "*.log\n!keep.log\n/build\ncache/\ndocs/**/draft.md\n# no\n\\#yes\n*.p[yz]c\n",
    "sub/.gitignore": "!sub.log\nlocal\n*.tmp\n",
    "sub/deep/.gitignore": "*\n!wanted\n!.gitignore\n",
  };
  const files = [
    ["a.py", "a.log", "keep.log", "build/x", "sub/build/x", "cache/x", "sub/cache/y", "cachex"],
    ["docs/draft.md", "docs/a/b/draft.md", "docs/a/final.md", "#yes", "# no", "m.pyc", "m.pzc"],
    ["sub/a.log", "sub/sub.log", "sub/local/x", "sub/x.tmp", "x.tmp", "sub/deep/wanted"],
    ["sub/deep/other", "sub/deep/wanted.py", "dir.log/inside", "sp ace.py", "sub/ünï.py"],
  ].flat();
  for (const [name, text] of Object.entries(rules)) await write(`project/${name}`, text);
  for (const name of files) await write(`project/${name}`, "x");
  const git = (...args: string[]) =>
    execFileSync("git", ["-c", "core.quotePath=false", ...args], {
      cwd: project,
      encoding: "utf8",
      env: {
        PATH: process.env.PATH,
        GIT_CONFIG_GLOBAL: "/dev/null",
        GIT_CONFIG_SYSTEM: "/dev/null",
      },
    });
  git("init", "--quiet");
  const theirs = git("ls-files", "--others", "--exclude-standard", "-z")
    .split("\0")
    .filter(Boolean);
  const ours = (await names(["."])).filter((name) => name.startsWith("user/"));
  expect(theirs.length).toBeGreaterThan(10);
  expect(ours).toEqual(theirs.map((name) => `user/${name}`).sort());
  const below = (await names(["sub"])).filter((name) => name.startsWith("user/"));
  expect(below).toEqual(ours.filter((name) => name.startsWith("user/sub/")));
});

test("secrets' and tools' own folders stay here, whether or not .gitignore names them", async () => {
  for (const name of [".env", ".env.local", ".git/config", ".moxi/runs/x", "node_modules/a/b.js"]) {
    await write(`project/${name}`, "x");
  }
  await write("project/train/__pycache__/x.pyc", "x");
  await write("project/train/run.py", "x");
  expect(await names(["."])).toEqual([...code, "user/train/run.py"]);
});

describe("refused:", () => {
  const refusal = async (work: Promise<unknown>) => {
    const error: unknown = await work.then(() => undefined).catch((thrown: unknown) => thrown);
    if (!isMoxiError(error)) throw new Error("it was not refused", { cause: error });
    return { code: error.code, text: `${error.message}\n${error.details.join("\n")}` };
  };

  test("paths that lead outside, are not there, or are no files", async () => {
    await write("secret.txt", "x");
    await symlink(join(folder, "secret.txt"), join(project, "link"));
    await symlink("..", join(project, "up"));
    execFileSync("mkfifo", [join(project, "pipe")]);
    await write("project/ignored/x", "x");
    await write("project/ignored/.gitignore", "*");
    const cases: readonly (readonly [string, RegExp])[] = [
      ["../secret.txt", /outside/],
      ["a/../../secret.txt", /outside/],
      ["nothing.py", /is not there/],
      ["link", /is a link/],
      ["up", /is a link/],
      ["pipe", /no ordinary file/],
      [".", /link is a link|up is a link|no ordinary/],
      ["ignored", /no file to send/],
    ];
    for (const [path, words] of cases) {
      expect(await refusal(bundle([path]))).toEqual({
        code: "E_BUNDLE",
        text: expect.stringMatching(words),
      });
    }
  });

  test("names that would hurt a terminal", async () => {
    await write("project/a/x\u001b[2J\n.py", "x");
    const { code: kind, text } = await refusal(bundle(["a"]));
    expect(kind).toBe("E_BUNDLE");
    expect(text).toMatch(/\\u001b/);
    expect(text).not.toContain("\u001b");
  });

  test("too much, with the largest files named", async () => {
    await write("project/data/rows.jsonl", "x".repeat(5000));
    await write("project/data/small", "x");
    const limits = { bytes: 4000 };
    expect(await refusal(bundle(["data"], { limits }))).toEqual({
      code: "E_BUNDLE",
      text: expect.stringMatching(/too much.*5\.0 kB\n5\.0 kB {2}data\/rows\.jsonl\n1 B/s),
    });
    expect((await refusal(bundle(["data"], { limits: { files: 1 } }))).text).toMatch(/2 files/);
    expect(await names(["data"])).toContain("user/data/rows.jsonl");
  });

  // Put together here, so that no scanner takes this file for a leak.
  const hf = `hf_${"AbCdEfGhIjKlMnOpQr".repeat(2).slice(0, 34)}`;
  const key = ["-----BEGIN RSA PRIVATE", "KEY-----\n", "MIIEowIBAAKCAQEA".repeat(20)].join(" ");
  const secrets: readonly (readonly [string, string | Uint8Array, RegExp])[] = [
    ["a Hugging Face token", `\n\ntoken = "${hf}"`, /x\.py:3 {2}huggingface user access token/],
    [
      "an AWS key",
      `AWS_SECRET_ACCESS_KEY=${"wJalrXUtnFEMI/K7MDENGbPxRfiCYzEXAMPLEKEY"}`,
      /aws secret/,
    ],
    ["a GitHub token", `ghp_${"0123456789abcdefghijABCDEFGHIJ012345"}`, /github token/],
    [
      "a private key",
      `${key.replace("PRIVATE KEY----- ", "PRIVATE KEY-----")}\n-----END RSA PRIVATE KEY-----`,
      /private key/,
    ],
    ["a password in an address", "https://joe:hunter22@example.com/", /basic auth/],
    ["one in UTF-16", Buffer.from(`x = "${hf}"`, "utf16le"), /huggingface/],
    [
      "one beside binary data",
      Buffer.concat([Buffer.from([0, 255, 0]), Buffer.from(` ${hf} `)]),
      /huggingface/,
    ],
    [
      "the user's own token, whatever it looks like",
      "a\nb = 'hf_CANARY'",
      /x\.py:2 {2}a token or key/,
    ],
  ];
  test.for(secrets)("%s", async ([, text, words]) => {
    await write("project/x.py", text);
    const told = await refusal(bundle(["x.py"], { secrets: ["hf_CANARY", "no"] }));
    expect(told).toEqual({ code: "E_BUNDLE_SECRET", text: expect.stringMatching(words) });
    expect(told.text).not.toMatch(new RegExp(`${hf}|hf_CANARY|hunter22|wJalr|ghp_|MIIEow`));
  });

  test("a secret in the training program too, and every place is told", async () => {
    await write("trainer/moxi_train/finetune/main.py", `a = "${hf}"\n`);
    await write("project/x.py", `a = "${hf}"\n`);
    const { text } = await refusal(bundle(["x.py"]));
    expect(text).toMatch(/^2 secrets/);
    expect(text).toMatch(/moxi_train\/finetune\/main\.py:1[^]*\nx\.py:1/);
  });

  test("but not what the user says only looks like one", async () => {
    await write("project/x.py", `a = "${hf}"  # secretlint-disable-line\n`);
    expect(await names(["x.py"])).toContain("user/x.py");
  });
});

test("our own training program passes", async () => {
  const real = join(import.meta.dirname, "../../trainer");
  const { files } = await makeBundle({ trainer: real });
  expect(files.map(({ path }) => path)).toContain("moxi_train/finetune/main.py");
  expect(files.filter(({ path }) => !/\.(?:py|jinja|json)$/.test(path))).toEqual([]);
});
