import { MoxiError } from "../base/errors.ts";
import { printable } from "../base/format.ts";
import { isRecord } from "../base/json.ts";
import { execute } from "../python/execute.ts";
import type { ImageLock } from "./image-lock.ts";

/** A Python of this machine, as far as it matters to wheels and to who compares it with an image. */
export interface PythonHere {
  /** "3.11.7" */
  readonly version: string;
  /** "linux-x86_64" */
  readonly platform: string;
  /** "2.36"; empty where the system has another C library. */
  readonly glibc: string;
  /** "2.15.0"; `null` where it has none. */
  readonly torch: string | null;
}

const question = `
import importlib.metadata, json, platform, sysconfig
try:
    torch = importlib.metadata.version("torch")
except importlib.metadata.PackageNotFoundError:
    torch = None
library, glibc = platform.libc_ver()
print(json.dumps({
    "version": platform.python_version(),
    "platform": sysconfig.get_platform(),
    "glibc": glibc if library == "glibc" else "",
    "torch": torch,
}))`;

/** Asks a Python what it is. */
export async function askPython(
  python: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<PythonHere> {
  const { ok, stdout, stderr } = await execute(python, ["-I", "-c", question], { env, cwd: "/" });
  const told: unknown = ok ? JSON.parse(stdout) : undefined;
  if (isRecord(told)) return told as unknown as PythonHere;
  throw new MoxiError("E_PYTHON_MISSING", `${python} does not answer: ${printable(stderr)}`, {
    place: { file: python },
  });
}

/** Whether a Python installs an image's wheels: the same minor version, on a system no older. */
export function takesWheels(lock: ImageLock, here: PythonHere): boolean {
  const minor = here.version.split(".").slice(0, 2).join(".");
  const newest = /^manylinux_(\d+)_(\d+)_(\w+)$/.exec(lock.platforms[0] ?? "");
  const glibc = /^(\d+)\.(\d+)/.exec(here.glibc);
  if (newest === null || glibc === null) return false;
  const [, major, least, machine] = newest;
  return (
    minor === lock.python &&
    here.platform === `linux-${machine}` &&
    glibc[1] === major &&
    Number(glibc[2]) >= Number(least)
  );
}
