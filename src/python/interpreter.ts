import { constants } from "node:fs";
import { access, realpath } from "node:fs/promises";
import { delimiter, isAbsolute, join } from "node:path";
import { MoxiError } from "../base/errors.ts";
import { printable } from "../base/format.ts";
import { isRecord } from "../base/json.ts";
import { execute } from "./execute.ts";

/** The minor versions of Python 3 that every locked package has wheels for. */
export const oldestPython = 11;
export const newestPython = 14;
const wanted = `Python 3.${oldestPython} to 3.${newestPython}`;

export interface Interpreter {
  /** Absolute; of a virtual environment, the Python that it was made from. */
  readonly executable: string;
  /** E.g. "3.12.4". */
  readonly version: string;
  readonly minor: number;
  /** Debian ships Python without what `python -m venv` needs. */
  readonly makesVenvs: boolean;
}

export interface FindPythonOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly platform: NodeJS.Platform;
  /** Without an installer at hand, the Python has to make a virtual environment by itself. */
  readonly mustMakeVenvs: boolean;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The newest Python on the PATH that the locked packages run on; `MOXI_PYTHON` names another.
 * `E_PYTHON_MISSING` says what was found instead, `E_PYTHON_VENV` that only its venv module lacks.
 */
export async function findPython(options: FindPythonOptions): Promise<Interpreter> {
  const override = options.env["MOXI_PYTHON"];
  const candidates = override
    ? await resolveOverride(override, options.env)
    : await onPath(options);
  const rejected: string[] = [];
  let withoutVenv: Interpreter | undefined;
  for (const path of candidates) {
    const answer = await ask(path, options);
    if (typeof answer === "string") rejected.push(`${printable(path)} ${answer}`);
    else if (options.mustMakeVenvs && !answer.makesVenvs) withoutVenv ??= answer;
    else return answer;
  }
  if (withoutVenv !== undefined) throw noVenv(withoutVenv, options.platform);
  throw new MoxiError(
    "E_PYTHON_MISSING",
    override
      ? `MOXI_PYTHON does not name a ${wanted}`
      : `${wanted} is needed to train on this machine, and none is on the PATH`,
    {
      details: rejected,
      hint: override
        ? `set MOXI_PYTHON to the path of a ${wanted}, or unset it to search the PATH`
        : `install one (${await installCommand(options)}), or set MOXI_PYTHON to its path`,
    },
  );
}

async function resolveOverride(
  override: string,
  env: FindPythonOptions["env"],
): Promise<readonly string[]> {
  if (override.includes("/")) return [override];
  const found = await findExecutables(override, env);
  return found.length > 0 ? found : [override];
}

async function onPath({ env }: FindPythonOptions): Promise<readonly string[]> {
  const names = ["python3", "python"];
  for (let minor = oldestPython; minor <= newestPython; minor++) names.unshift(`python3.${minor}`);
  return (await Promise.all(names.map((name) => findExecutables(name, env)))).flat();
}

/** Every executable file of that name on the PATH, in its order. */
export async function findExecutables(
  name: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<string[]> {
  const folders = (env["PATH"] ?? "").split(delimiter).filter((folder) => isAbsolute(folder));
  const found = new Map<string, string>();
  for (const folder of folders) {
    const path = join(folder, name);
    try {
      await access(path, constants.X_OK);
      // /bin is /usr/bin on most systems: the folder tells twins apart, since a version manager
      // points many names at one file.
      const real = await realpath(folder);
      if (!found.has(real)) found.set(real, path);
    } catch {
      // Not there: the usual case.
    }
  }
  return [...found.values()];
}

/** Runs on any Python since 2.7, so that an old one can say how old it is. */
const question = `
import json, platform, struct, sys, sysconfig
try:
    import ensurepip, venv
    venvs = True
except ImportError:
    venvs = False
print(json.dumps({
    "version": list(sys.version_info[:3]),
    "executable": getattr(sys, "_base_executable", None) or sys.executable,
    "implementation": platform.python_implementation(),
    "machine": platform.machine(),
    "bits": struct.calcsize("P") * 8,
    "freeThreaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "venvs": venvs,
}))
`;

/** What the program at this path is, or in a few words why it will not do. */
async function ask(path: string, options: FindPythonOptions): Promise<Interpreter | string> {
  if (!isAbsolute(path))
    return path.includes("/") ? "is not an absolute path" : "is not on the PATH";
  const { ok, stdout, stderr } = await execute(path, ["-E", "-s", "-c", question], {
    env: options.env,
    // "-c" puts the current folder on the module path: not one that may hold a json.py.
    cwd: "/",
    timeout: 20,
    signal: options.signal,
  });
  const lastLine = stderr.trim().split("\n")[0] ?? "";
  if (!ok) return `does not start${lastLine === "" ? "" : `: ${printable(lastLine)}`}`;
  const answer = parseAnswer(stdout);
  if (answer === undefined) return "is no Python";
  const { version, executable, venvs } = answer;
  const [major, minor] = version;
  const name = `Python ${version.join(".")}`;
  if (answer.implementation !== "CPython") return `is ${printable(answer.implementation)}`;
  if (major !== 3 || minor < oldestPython) return `is ${name}, too old`;
  if (minor > newestPython) return `is ${name}, newer than the packages that Moxi trains with`;
  if (answer.freeThreaded) return `is a free-threaded ${name}`;
  if (answer.bits !== 64) return `is a ${answer.bits}-bit ${name}`;
  if (options.platform === "darwin" && answer.machine !== "arm64") {
    return `is a ${name} for Intel Macs, which torch has left`;
  }
  return { executable, version: version.join("."), minor, makesVenvs: venvs };
}

interface Answer {
  readonly version: readonly [number, number, number];
  readonly executable: string;
  readonly implementation: string;
  readonly machine: string;
  readonly bits: number;
  readonly freeThreaded: boolean;
  readonly venvs: boolean;
}

function parseAnswer(stdout: string): Answer | undefined {
  try {
    const answer: unknown = JSON.parse(stdout);
    if (isRecord(answer) && Array.isArray(answer["version"])) return answer as unknown as Answer;
  } catch {
    // Whatever it is, it did not answer the question.
  }
  return undefined;
}

function noVenv(python: Interpreter, platform: NodeJS.Platform): MoxiError {
  const packageName = `python3.${python.minor}-venv`;
  return new MoxiError(
    "E_PYTHON_VENV",
    `${python.executable} (Python ${python.version}) cannot make virtual environments: its venv module is not installed`,
    {
      hint:
        platform === "linux"
          ? `sudo apt install ${packageName} (or python3-venv), or put uv on the PATH`
          : "install a Python that has it, or put uv on the PATH",
    },
  );
}

async function installCommand({ env, platform }: FindPythonOptions): Promise<string> {
  if (platform === "darwin") return "brew install python@3.13";
  const has = async (name: string) => (await findExecutables(name, env)).length > 0;
  if (await has("apt-get"))
    return `sudo apt install python3.${oldestPython} python3.${oldestPython}-venv`;
  if (await has("dnf")) return "sudo dnf install python3.12";
  return "with the system's package manager";
}
