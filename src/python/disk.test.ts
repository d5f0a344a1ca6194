import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { requireSpace } from "./disk.ts";

let layers: string;
beforeEach(async () => {
  layers = await mkdtemp(join(tmpdir(), "moxi-disk-"));
});
afterEach(() => rm(layers, { recursive: true }));

/** More than any disk has. */
const tooMuch = 1e30;

test("says what is free, and refuses to start what cannot fit", async () => {
  const disks = { layers, uvCache: join(layers, "not/yet/there") };
  expect(await requireSpace(disks, 1, "a byte")).toBeGreaterThan(0);
  await expect(requireSpace(disks, tooMuch, "about 7 GB")).rejects.toMatchObject({
    code: "E_DISK_FULL",
    message: expect.stringMatching(/the Python packages take about 7 GB, and .* are free$/),
    place: { file: layers },
  });
});

test("a cache that may hold the packages already gets its chance", async () => {
  const uvCache = join(layers, "uv");
  await mkdir(join(uvCache, "archive-v0/torch"), { recursive: true });
  expect(await requireSpace({ layers, uvCache }, tooMuch, "much")).toBeGreaterThan(0);
});
