import { stat } from "node:fs/promises";
import { dirname, isAbsolute, join } from "node:path";
import { MoxiError } from "../base/errors.ts";
import { printable } from "../base/format.ts";
import type { Host } from "../base/host.ts";
import { isRecord } from "../base/json.ts";
import { execute } from "./execute.ts";
import { newestPython, oldestPython } from "./interpreter.ts";
import type { Layer } from "./layer.ts";
import type { Locks } from "./locks.ts";

export interface OwnLayerOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly host: Host;
  readonly signal?: AbortSignal | undefined;
}

const question = `
import importlib.metadata as m, json, sys
print(json.dumps({
    "minor": sys.version_info[1],
    "packages": {d.metadata["Name"]: d.version for d in m.distributions()},
}))
`;

/**
 * Uses the environment (or the interpreter) that MOXI_PYTHON_LAYER names, as it is; packages that
 * differ from the lock are warned about. `E_PYTHON_MISSING` if it does not run, `E_PYTHON_INSTALL`
 * if it has no torch.
 */
export async function ownLayer(
  path: string,
  locks: Locks,
  options: OwnLayerOptions,
): Promise<Layer> {
  const { env, host, signal } = options;
  const name = `MOXI_PYTHON_LAYER (${printable(path)})`;
  const hint = "name a virtual environment with its absolute path, or unset MOXI_PYTHON_LAYER";
  const missing = (why: string) => new MoxiError("E_PYTHON_MISSING", `${name} ${why}`, { hint });
  if (!isAbsolute(path)) throw missing("is not an absolute path");
  const isFolder = (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
  const python = isFolder ? join(path, "bin/python") : path;
  const { ok, stdout, stderr } = await execute(python, ["-I", "-c", question], {
    env,
    cwd: "/",
    timeout: 60,
    signal,
  });
  if (!ok) throw missing(`does not run: ${printable(stderr.trim().split("\n").at(-1) ?? "")}`);
  const answer = parseJson(stdout);
  if (!isRecord(answer) || !isRecord(answer["packages"])) throw missing("is no Python");
  const minor = Number(answer["minor"]);
  if (minor < oldestPython || minor > newestPython) {
    throw missing(`is Python 3.${minor}; 3.${oldestPython} to 3.${newestPython} is needed`);
  }
  const installed = new Map(
    Object.entries(answer["packages"]).map(([key, version]) => [canonical(key), String(version)]),
  );
  const torch = installed.get("torch");
  if (torch === undefined) {
    throw new MoxiError("E_PYTHON_INSTALL", `${name} has no torch`, {
      hint: `install the packages of ${locks.localFile} and ${locks.torchFile} there, or unset MOXI_PYTHON_LAYER`,
    });
  }
  const differences = compare(installed, locks);
  if (differences.length > 0) {
    const shown = differences.slice(0, 3).join(", ");
    const more = differences.length > 3 ? ` and ${differences.length - 3} more` : "";
    host.notify({
      type: "warning",
      text: `${name} is not what Moxi is tested with: ${shown}${more}`,
      hint: "unset MOXI_PYTHON_LAYER to train with the locked packages",
    });
  }
  return { python, folder: dirname(dirname(python)), torch: torch.split("+")[1] ?? "default" };
}

/** E.g. "trl 1.15.0 (locked: 1.16.0)". A package that only some systems need may be absent. */
function compare(installed: ReadonlyMap<string, string>, locks: Locks): string[] {
  const locked = Map.groupBy(locks.packages, (entry) => entry.name);
  const differences: string[] = [];
  for (const [name, entries] of locked) {
    const version = installed.get(name)?.split("+")[0];
    const versions = entries.map((entry) => entry.version);
    if (version === undefined) {
      if (entries.some((entry) => entry.marker === undefined))
        differences.push(`${name} is missing`);
    } else if (!versions.includes(version)) {
      differences.push(`${name} ${version} (locked: ${versions.join(" or ")})`);
    }
  }
  return differences;
}

/** One spelling for a package's name, as the packaging standard defines it. */
function canonical(name: string): string {
  return name.toLowerCase().replaceAll(/[-_.]+/g, "-");
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
