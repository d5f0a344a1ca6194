/**
 * Makes trainer/locks again from trainer/requirements.in. Versions that are locked already stay;
 * `node scripts/lock.ts --upgrade` takes the newest of everything that requirements.in leaves open.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseLock } from "../src/python/locks.ts";
import { newestPython, oldestPython } from "../src/python/interpreter.ts";
import { oldestUv } from "../src/python/uv.ts";

const trainer = join(import.meta.dirname, "../trainer");
const locks = join(trainer, "locks");
const upgrade = process.argv.slice(2).includes("--upgrade");
const scratch = mkdtempSync(join(tmpdir(), "moxi-lock-"));

/** torch and what only its CUDA builds need: another backend brings its own, so they are apart. */
const isTorch = (name: string) => /^(torch|triton|nvidia-.+|cuda-.+)$/.test(name);

const headers = {
  "dev.txt": "What the trainer's tests and checks need besides.",
  "local.txt": "The Python packages that Moxi trains with, except torch and its CUDA libraries.",
  "torch.txt":
    "torch as the package index's default build, with the CUDA libraries it needs on Linux.",
  "uv.txt": "The installer that Moxi fetches where none is on the PATH.",
};

/** Where the locked packages must install from wheels alone: nothing is compiled on a user's machine. */
const platforms = ["x86_64-manylinux_2_28", "aarch64-manylinux_2_28", "aarch64-apple-darwin"];

try {
  const packages = compile("packages", readFileSync(join(trainer, "requirements.in"), "utf8"), [
    "local.txt",
    "torch.txt",
  ]);
  write(
    "local.txt",
    packages.filter((entry) => !isTorch(entry.name)),
  );
  write(
    "torch.txt",
    packages.filter((entry) => isTorch(entry.name)),
  );
  write(
    "dev.txt",
    compile("dev", readFileSync(join(trainer, "requirements-dev.in"), "utf8"), [
      "local.txt",
      "dev.txt",
    ]),
  );
  write("uv.txt", compile("uv", `uv>=${oldestUv}`, ["uv.txt"]));
  for (let minor = oldestPython; minor <= newestPython; minor++) {
    for (const platform of platforms) check(minor, platform);
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

/** Resolves for every platform and Python at once; what the old locks hold is preferred. */
function compile(name: string, requirements: string, old: readonly (keyof typeof headers)[]) {
  const input = join(scratch, `${name}.in`);
  const output = join(scratch, `${name}.txt`);
  writeFileSync(input, requirements);
  const known = old.map((file) => join(locks, file)).filter((file) => existsSync(file));
  writeFileSync(output, known.map((file) => readFileSync(file, "utf8")).join("\n"));
  uv(
    ["pip", "compile", input, "--output-file", output, "--quiet"],
    ["--universal", "--python-version", `3.${oldestPython}`, "--only-binary", ":all:"],
    ["--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url"],
    upgrade ? ["--upgrade"] : [],
  );
  return parseLock(readFileSync(output, "utf8"), output);
}

function write(file: keyof typeof headers, entries: ReturnType<typeof parseLock>) {
  const text = entries.map((entry) => entry.text).join("\n");
  writeFileSync(
    join(locks, file),
    `# ${headers[file]}\n# Made by: node scripts/lock.ts\n${text}\n`,
  );
  process.stdout.write(`${file}: ${entries.length} packages\n`);
}

function check(minor: number, platform: string) {
  uv(
    ["pip", "install", "--dry-run", "--quiet", "--target", join(scratch, "nothing")],
    ["--python-version", `3.${minor}`, "--python-platform", platform],
    ["--require-hashes", "--no-deps", "--no-build"],
    ["-r", join(locks, "local.txt"), "-r", join(locks, "torch.txt")],
  );
  process.stdout.write(`installs on Python 3.${minor}, ${platform}\n`);
}

function uv(...args: readonly string[][]) {
  // The oldest macOS that torch has wheels for; uv assumes an older one.
  const env = { ...process.env, MACOSX_DEPLOYMENT_TARGET: "14.0" };
  const { status, error } = spawnSync("uv", args.flat(), { stdio: "inherit", env });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`uv ${args.flat().slice(0, 2).join(" ")} failed`);
}
