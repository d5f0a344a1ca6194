import { mkdtemp, readdir, rename } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { MoxiError } from "../base/errors.ts";
import { formatBytes } from "../base/format.ts";
import { requireSpace } from "./disk.ts";
import { installError } from "./install-error.ts";
import { findPython } from "./interpreter.ts";
import { clear, layerFolder, openLayer, stampLayer } from "./layer.ts";
import type { Layer } from "./layer.ts";
import type { Locks } from "./locks.ts";
import { hasGpu, indexAnswers, smallestLayer, torchBuild } from "./torch.ts";
import type { TorchBackend } from "./torch.ts";
import { findUv, installUv, runUv } from "./uv.ts";
import type { Surroundings } from "./uv.ts";

/**
 * Installs the locked packages into a new layer: under a temporary name, renamed when it is whole,
 * stamped when it has been seen to run. Call it under the install lock.
 */
export async function installLayer(locks: Locks, around: Surroundings): Promise<Layer> {
  const tell = (state: "started" | "progress" | "done", text: string) =>
    around.host.notify({ type: "task", id: "python", state, text });
  tell("started", "setting up Python");
  const disks = { layers: join(around.cache, "python"), uvCache: around.uvCache };
  await requireSpace(disks, smallestLayer, "2 to 7 GB");
  const uv = (await findUv(around, locks.uvFile)) ?? (await installUv(around, locks.uvFile));
  const python = await findPython({ ...around, mustMakeVenvs: false });
  const backend = await chooseBackend(uv, python.executable, locks, around);
  const folder = layerFolder(locks, backend, python.minor, around);
  const { download, bytes } = torchBuild(backend, around.platform);
  const free = await requireSpace(disks, bytes, `about ${formatBytes(bytes)}`);
  tell(
    "progress",
    `installing torch ${locks.torch} ${download}, for Python ${python.version} ` +
      `(about ${formatBytes(bytes)} on the disk, ${formatBytes(free)} free)`,
  );

  const prefix = `.${hostname()}-`;
  for (const name of await readdir(disks.layers)) {
    // Left by an installation that was killed: under the lock, nobody works on it any more.
    if (name.startsWith(prefix)) await clear(join(disks.layers, name));
  }
  const temporary = await mkdtemp(join(disks.layers, prefix));
  try {
    const run = async (...args: readonly (readonly string[])[]) => {
      const { ok, stderr } = await runUv(uv, args.flat(), around);
      const task = "install the Python packages";
      if (!ok)
        throw installError({ task, output: stderr, folders: [disks.layers, disks.uvCache], bytes });
    };
    const into = ["--python", join(temporary, "bin/python"), "--no-build"];
    await run(["venv", "--quiet", "--relocatable", "--python", python.executable, temporary]);
    await run(
      ["pip", "install", ...into, "--require-hashes", "--no-deps", "-r", locks.localFile],
      backend === "default" ? ["-r", locks.torchFile] : [],
    );
    if (backend !== "default") {
      await run(["pip", "install", ...into, "--torch-backend", backend, `torch==${locks.torch}`]);
    }
    // A broken layer, or one that another machine with this home folder has just finished.
    const theirs = await openLayer(folder, around);
    if (theirs) return theirs;
    await clear(folder);
    await rename(temporary, folder);
  } finally {
    await clear(temporary);
  }
  const layer = await stampLayer(folder, locks, around);
  if (layer === undefined) {
    await clear(folder);
    throw new MoxiError(
      "E_PYTHON_INSTALL",
      `the Python in ${folder} does not run after it was installed`,
      {
        hint: `try another Python: set MOXI_PYTHON to its path (this was ${python.executable})`,
      },
    );
  }
  tell("done", `Python ${python.version} with torch ${locks.torch} (${layer.torch})`);
  return layer;
}

async function chooseBackend(
  uv: string,
  python: string,
  locks: Locks,
  around: Surroundings,
): Promise<TorchBackend> {
  const chosen = around.torchBackend;
  if (chosen) return chosen;
  // The index's own build is the one with Metal.
  if (around.platform === "darwin") return "default";
  const wanted = (await hasGpu(around)) ? "auto" : "cpu";
  return (await indexAnswers(uv, python, locks.torch, wanted, around)) ? wanted : "default";
}
