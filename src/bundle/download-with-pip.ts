import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isMoxiError } from "../base/errors.ts";
import { execute } from "../python/execute.ts";
import { installError } from "../python/install-error.ts";
import { findPython } from "../python/interpreter.ts";
import type { ImageLock, LockedWheel } from "./image-lock.ts";

export interface PipOptions {
  readonly lock: ImageLock;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly platform: NodeJS.Platform;
  readonly signal?: AbortSignal | undefined;
}

/** Settings of the user's other work that would bend what is asked for. */
const notForUs = [
  "PIP_CONSTRAINT",
  "PIP_DRY_RUN",
  "PIP_NO_BINARY",
  "PIP_REQUIRE_VIRTUALENV",
  "PIP_TARGET",
  "PIP_USER",
];

/**
 * Lets pip fetch these wheels into a folder, for the image's Python and system whatever this
 * machine's are. False if no Python here has pip; the caller checks the hashes once more.
 */
export async function pipDownload(
  wheels: readonly LockedWheel[],
  folder: string,
  options: PipOptions,
): Promise<boolean> {
  const python = await pythonWithPip(options);
  if (python === undefined) return false;
  const { lock, signal } = options;
  const requirements = join(folder, "requirements.txt");
  const lines = wheels.map(
    ({ name, version, sha256 }) => `${name}==${version} --hash=sha256:${sha256}`,
  );
  await writeFile(requirements, `${lines.join("\n")}\n`);
  const env: Record<string, string | undefined> = { ...options.env };
  for (const name of notForUs) delete env[name];
  const { ok, stderr } = await execute(
    python,
    ["-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--require-hashes"].concat(
      ["--implementation", "cp", "--python-version", lock.python],
      lock.platforms.flatMap((platform) => ["--platform", platform]),
      ["--no-input", "--disable-pip-version-check", "--progress-bar", "off"],
      ["--dest", folder, "--requirement", requirements],
    ),
    { env, cwd: folder, signal },
  );
  if (ok) return true;
  const task = "fetch the job's Python packages";
  const bytes = wheels.reduce((sum, { size }) => sum + size, 0);
  throw installError({ task, output: stderr, folders: [folder], bytes });
}

async function pythonWithPip(options: PipOptions): Promise<string | undefined> {
  try {
    const { executable } = await findPython({ ...options, mustMakeVenvs: false });
    const { ok } = await execute(executable, ["-m", "pip", "--version"], {
      ...options,
      cwd: "/",
      timeout: 60,
    });
    return ok ? executable : undefined;
  } catch (error) {
    if (isMoxiError(error) && error.code === "E_PYTHON_MISSING") return undefined;
    throw error;
  }
}
