import { mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as tick } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { withInstallLock } from "./install-lock.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "moxi-lock-"));
});
afterEach(() => rm(folder, { recursive: true }));

const options = { sleep: () => tick(), onWait() {} };

test("of many that come at once to a dead owner's lock, one works at a time", async () => {
  await symlink("999999999:1", join(folder, `.install-${hostname()}.7`));
  let working = 0;
  let most = 0;
  const work = async () => {
    most = Math.max(most, (working += 1));
    for (let i = 0; i < 5; i++) await tick();
    working -= 1;
  };
  await Promise.all(Array.from({ length: 12 }, () => withInstallLock(folder, options, work)));
  expect(most).toBe(1);
  expect(await readdir(folder)).toHaveLength(1);
});

test("is given back when the work fails, with its error", async () => {
  const fail = () => withInstallLock(folder, options, () => Promise.reject(new Error("broken")));
  await expect(fail()).rejects.toThrow("broken");
  expect(await withInstallLock(folder, options, async () => "free again")).toBe("free again");
});

test("waiting can be interrupted", async () => {
  const controller = new AbortController();
  const waiting = { ...options, signal: controller.signal, onWait: () => controller.abort() };
  await withInstallLock(folder, options, async () => {
    const second = withInstallLock(folder, waiting, async () => "never");
    await expect(second).rejects.toMatchObject({ code: "E_INTERRUPTED" });
  });
});
