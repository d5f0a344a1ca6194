/** Small shell programs that stand in for Python, uv and pip in tests, told what to do by files. */
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Notice } from "../base/host.ts";

/**
 * A home, a PATH and lock files of their own. `log` has a line for each program that was started;
 * a file that a test puts into `orders` changes what the programs do.
 */
export interface Sandbox {
  readonly root: string;
  readonly env: Readonly<Record<string, string>>;
  readonly notices: Notice[];
  /** What `ensurePython` takes. */
  readonly options: {
    readonly env: Readonly<Record<string, string>>;
    readonly home: string;
    readonly host: { notify(notice: Notice): void };
    readonly lockFile: string;
    readonly platform: "linux";
    readonly arch: "x64";
  };
  /** Puts a program on the PATH. */
  program(name: string, script: string): Promise<void>;
  /** Puts a Python of this version on the PATH, under this name. */
  python(name: string, facts?: Partial<PythonFacts>): Promise<void>;
  uv(version?: string): Promise<void>;
  order(name: string, text?: string): Promise<void>;
  log(): Promise<string[]>;
  remove(): Promise<void>;
}

interface PythonFacts {
  readonly version: readonly [number, number, number];
  readonly implementation: string;
  readonly machine: string;
  readonly bits: number;
  readonly freeThreaded: boolean;
  readonly venvs: boolean;
}

const hash = "0".repeat(64);

export const lockText = {
  "local.txt": `# packages\ntrl==1.16.0 \\\n    --hash=sha256:${hash}\n`,
  "torch.txt": `# torch\ntorch==2.15.0 \\\n    --hash=sha256:${hash}\n`,
  "uv.txt": `# uv\nuv==0.13.9 \\\n    --hash=sha256:${hash}\n`,
};

export async function makeSandbox(): Promise<Sandbox> {
  const root = await mkdtemp(join(tmpdir(), "moxi-python-"));
  const at = (...parts: string[]) => join(root, ...parts);
  for (const folder of ["bin", "home", "locks", "orders"]) await mkdir(at(folder));
  for (const [name, text] of Object.entries(lockText)) await writeFile(at("locks", name), text);
  const env = { PATH: at("bin"), FAKE: root, UV_CACHE_DIR: at("uv-cache") };
  // A cache that holds something may hold the packages, so that a full test machine fails no test.
  await mkdir(at("uv-cache/archive-v0/something"), { recursive: true });
  const notices: Notice[] = [];
  const program = async (name: string, script: string) => {
    await writeFile(at("bin", name), `#!/bin/sh\n${script}`);
    await chmod(at("bin", name), 0o755);
  };
  return {
    root,
    env,
    notices,
    options: {
      env,
      home: at("home"),
      host: { notify: (notice) => notices.push(notice) },
      lockFile: at("locks/local.txt"),
      platform: "linux",
      arch: "x64",
    },
    program,
    python: (name, facts = {}) => program(name, fakePython(at("bin", name), facts)),
    uv: (version = "0.13.9") => program("uv", fakeUv(version)),
    order: (name, text = "") => writeFile(at("orders", name), text),
    log: async () => {
      const text = await readFile(at("log"), "utf8").catch(() => "");
      return text.split("\n").filter((line) => line !== "");
    },
    remove: () => rm(root, { recursive: true, force: true }),
  };
}

const prelude = 'PATH=/usr/bin:/bin\necho "$(basename "$0") $*" | head -1 >>"$FAKE/log"\n';

/** Answers what it is, makes virtual environments, and has a pip that "installs" a fake uv. */
function fakePython(path: string, facts: Partial<PythonFacts>): string {
  const answer = JSON.stringify({
    version: [3, 12, 4],
    executable: path,
    implementation: "CPython",
    machine: "x86_64",
    bits: 64,
    freeThreaded: false,
    venvs: true,
    ...facts,
  });
  return `${prelude}
here="$(dirname "$0")"
case "$1 $2" in
  "-E -s") echo '${answer}' ;;
  "-I -c") cat "$here/../torch" ;;
  "-m venv") mkdir -p "$3/bin" && ln -s "${path}" "$3/bin/python" ;;
  "-m pip")
    if [ -e "$FAKE/orders/pip-fails" ]; then cat "$FAKE/orders/pip-fails" >&2; exit 1; fi
    cat >"$here/uv" <<'UV'
#!/bin/sh
${fakeUv("0.13.9")}
UV
    chmod +x "$here/uv" ;;
esac`;
}

/** "Installs" by writing torch's version into the environment; waits and fails when told to. */
function fakeUv(version: string): string {
  return `${prelude}
case "$1 $2" in
  "--version ") echo "uv ${version}" ;;
  "pip compile") [ -e "$FAKE/orders/index-answers" ] ;;
  "venv --quiet") mkdir -p "$6/bin" && ln -s "$5" "$6/bin/python" ;;
  "pip install")
    if [ -e "$FAKE/orders/hang" ]; then
      echo $$ >"$FAKE/hanging"
      while [ -e "$FAKE/orders/hang" ]; do sleep 0.02; done
    fi
    cat "$FAKE/orders/says" >&2 2>/dev/null
    if [ -e "$FAKE/orders/uv-fails" ]; then cat "$FAKE/orders/uv-fails" >&2; exit 2; fi
    torch="$(dirname "$4")/../torch"
    case "$*" in
      *"--torch-backend auto"*) echo 2.15.0+cu130 >"$torch" ;;
      *"--torch-backend "*) echo 2.15.0+cpu >"$torch" ;;
      *torch.txt*) echo 2.15.0 >"$torch" ;;
    esac ;;
esac`;
}
