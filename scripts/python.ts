// Runs the trainer's Python with the development tools (pytest, ruff) beside its locked packages:
//   node scripts/python.ts -m pytest trainer/tests
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { sha256 } from "../src/base/hash.ts";
import { ensurePython } from "../src/python/ensure.ts";
import { withLock } from "../src/store/lock.ts";

const root = resolve(import.meta.dirname, "..");
const { PYTHONDONTWRITEBYTECODE: _, ...env } = process.env;
const layer = await ensurePython({
  env,
  home: homedir(),
  host: { notify: (notice) => process.stderr.write(`${notice.text}\n`) },
  lockFile: join(root, "trainer/locks/local.txt"),
});
mkdirSync(join(root, "build"), { recursive: true });
// Two commands at once: the second waits, and finds everything there.
const tools = await withLock(join(root, "build/python-tools.lock"), { sleep }, () =>
  Promise.resolve(developmentTools(layer.python)),
);
const path = [join(root, "trainer"), tools, env["PYTHONPATH"]].filter(Boolean).join(":");
const { status } = spawnSync(layer.python, process.argv.slice(2), {
  stdio: "inherit",
  env: { ...env, PYTHONPATH: path },
});
process.exitCode = status ?? 1;

/** Installs trainer/locks/dev.txt below build/, once for each lock and Python; returns its folder. */
function developmentTools(python: string): string {
  const lock = join(root, "trainer/locks/dev.txt");
  const folder = join(root, "build/python-tools");
  const stamp = join(folder, "moxi-stamp");
  const want = sha256(`${python}\n${readFileSync(lock, "utf8")}`);
  if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== want) {
    rmSync(folder, { recursive: true, force: true });
    run(python, "-m", "venv", folder);
    const flags = ["--quiet", "--disable-pip-version-check", "--require-hashes", "-r", lock];
    run(join(folder, "bin/python"), "-m", "pip", "install", ...flags);
    writeFileSync(stamp, want);
  }
  const find = "import sysconfig; print(sysconfig.get_path('purelib'))";
  return run(join(folder, "bin/python"), "-c", find).trim();
}

function run(command: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { env, encoding: "utf8" });
  if (status === 0) return stdout;
  process.stderr.write(`${command} ${args.join(" ")}\n${stderr}`);
  process.exit(1);
}
