// Fetches the wheels of an image's lock from this machine's own package index into an empty cache,
// by pip and (where an index is named) without Python, then out of the cache.
//   node bench/wheels.ts [image]
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isMoxiError } from "../src/base/errors.ts";
import { silentHost } from "../src/base/host.ts";
import { readImageLock } from "../src/bundle/image-lock.ts";
import { fetchWheels } from "../src/bundle/wheels.ts";

const locks = join(import.meta.dirname, "../trainer/locks");
const file = `${process.argv[2] ?? ""}.json`;
const names = (await readdir(locks)).filter((name) => name.endsWith(".json")).sort();
const lock = await readImageLock(join(locks, names.includes(file) ? file : names.at(-1)!));
const bytes = lock.wheels.reduce((sum, { size }) => sum + size, 0);
const cache = await mkdtemp(join(tmpdir(), "moxi-bench-wheels-"));

async function time(what: string, env: NodeJS.ProcessEnv): Promise<void> {
  const began = performance.now();
  let said = `${lock.wheels.length} wheels, ${(bytes / 1e6).toFixed(0)} MB`;
  try {
    await fetchWheels({
      lock,
      cache,
      env,
      home: homedir(),
      platform: process.platform,
      host: silentHost,
      fetch,
      sleep: async (milliseconds) => sleep(milliseconds),
    });
  } catch (error) {
    if (!isMoxiError(error)) throw error;
    said = `${error.code}: ${error.message}`;
  }
  const seconds = ((performance.now() - began) / 1000).toFixed(2);
  process.stdout.write(`${what.padEnd(28)} ${seconds.padStart(7)} s  ${said}\n`);
}

try {
  await time("by pip, empty cache", process.env);
  await time("out of the cache", process.env);
  await rm(cache, { recursive: true });
  await time("without Python, empty cache", { ...process.env, PATH: "" });
} finally {
  await rm(cache, { recursive: true, force: true });
}
