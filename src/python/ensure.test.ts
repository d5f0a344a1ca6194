import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { kill } from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ensurePython } from "./ensure.ts";
import { makeSandbox } from "./fakes.ts";
import type { Sandbox } from "./fakes.ts";

let box: Sandbox;
const layers = () => join(box.root, "home/.cache/moxi/python");
/** The folders below python/ that a reader could take for something: everything but the lock. */
const folders = async () =>
  (await readdir(layers()).catch(() => [])).filter((name) => !name.startsWith(".install-"));

beforeEach(async () => {
  box = await makeSandbox();
});
afterEach(() => box.remove());

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await wait(10);
}

test("installs the default build from the hashed locks where torch's index does not answer", async () => {
  await box.python("python3.12");
  await box.uv();

  const layer = await ensurePython(box.options);

  expect(layer).toMatchObject({ torch: "default", created: true });
  expect(layer.folder).toMatch(/\/[0-9a-f]{12}$/);
  expect(layer.python).toBe(join(layer.folder, "bin/python"));
  const installs = (await box.log()).filter((line) => line.startsWith("uv pip install"));
  expect(installs).toHaveLength(1);
  expect(installs[0]).toMatch(
    /--no-build --require-hashes --no-deps -r \S+local\.txt -r \S+torch\.txt$/,
  );
  expect(await folders()).toEqual([layer.folder.slice(-12)]);
  expect(box.notices.at(0)).toMatchObject({ type: "task", id: "python", state: "started" });
  expect(box.notices.map((notice) => notice.text).join("\n")).toContain(
    "torch 2.15.0 with CUDA libraries, about 3 GB to download",
  );
  expect(box.notices.at(-1)).toMatchObject({ id: "python", state: "done" });
});

test("takes torch from its own index where that answers: for CPUs without a GPU", async () => {
  await box.python("python3");
  await box.uv();
  await box.order("index-answers");

  expect(await ensurePython(box.options)).toMatchObject({ torch: "cpu", created: true });

  const [packages, torch] = (await box.log()).filter((line) => line.startsWith("uv pip install"));
  expect(packages).not.toContain("torch.txt");
  expect(torch).toMatch(/--torch-backend cpu torch==2\.15\.0$/);
});

test("takes the build for the driver where nvidia-smi names a GPU, and knows when one comes", async () => {
  await box.python("python3");
  await box.uv();
  await box.order("index-answers");
  expect((await ensurePython(box.options)).torch).toBe("cpu");

  await box.program("nvidia-smi", "echo 'No devices were found'; exit 6");
  expect(await ensurePython(box.options)).toMatchObject({ torch: "cpu", created: false });

  await box.program("nvidia-smi", "echo 'GPU 0: NVIDIA H200 (UUID: GPU-1)'");
  expect(await ensurePython(box.options)).toMatchObject({ torch: "cu130", created: true });
});

test("on a Mac the index's own build is taken without asking", async () => {
  await box.python("python3", { machine: "arm64" });
  await box.uv();
  await box.order("index-answers");

  const layer = await ensurePython({ ...box.options, platform: "darwin", arch: "arm64" });

  expect(layer.torch).toBe("default");
  expect((await box.log()).join("\n")).not.toContain("pip compile");
});

test("UV_TORCH_BACKEND decides", async () => {
  await box.python("python3");
  await box.uv();

  const env = { ...box.env, UV_TORCH_BACKEND: "cu126" };
  await ensurePython({ ...box.options, env });

  expect((await box.log()).join("\n")).toContain("--torch-backend cu126 torch==2.15.0");
});

test("a layer that is there is found without starting any program", async () => {
  await box.python("python3");
  await box.uv();
  const first = await ensurePython(box.options);
  const started = await box.log();
  box.notices.length = 0;

  const second = await ensurePython(box.options);

  expect(second).toEqual({ ...first, created: false });
  expect(await box.log()).toEqual(started);
  expect(box.notices).toEqual([]);
});

test("another lock makes another layer", async () => {
  await box.python("python3");
  await box.uv();
  const first = await ensurePython(box.options);
  const file = box.options.lockFile;
  await writeFile(file, (await readFile(file, "utf8")).replace("1.16.0", "1.17.0"));

  const second = await ensurePython(box.options);

  expect(second.created).toBe(true);
  expect(second.folder).not.toBe(first.folder);
  expect(second.lockHash).not.toBe(first.lockHash);
});

test("a layer whose Python was removed is made again", async () => {
  await box.python("python3.12");
  await box.uv();
  const first = await ensurePython(box.options);
  await rm(join(box.root, "bin/python3.12"));
  await box.python("python3");

  const second = await ensurePython(box.options);

  expect(second).toMatchObject({ folder: first.folder, created: true });
  expect((await stat(second.python)).isFile()).toBe(true);
});

test("a layer that was never finished is no layer", async () => {
  await box.python("python3");
  await box.uv();
  const { folder } = await ensurePython(box.options);
  await rm(join(folder, "moxi-layer.json"));

  expect(await ensurePython(box.options)).toMatchObject({ folder, created: true });
});

test("kill -9 while it installs: the next run clears up and installs", async () => {
  await box.python("python3");
  await box.uv();
  await box.order("hang");
  const { host: _, ...options } = box.options;
  const script = `
    import { ensurePython } from ${JSON.stringify(join(import.meta.dirname, "ensure.ts"))};
    await ensurePython({ ...${JSON.stringify(options)}, host: { notify() {} } });`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: "ignore" });
  const ended = new Promise((resolve) => child.on("exit", resolve));
  const hanging = join(box.root, "hanging");
  await until(() => existsSync(hanging));
  child.kill("SIGKILL");
  await ended;
  expect(await folders()).toHaveLength(1);
  kill(Number(await readFile(hanging, "utf8")), "SIGKILL");
  await rm(join(box.root, "orders/hang"));

  const layer = await ensurePython(box.options);

  expect(layer.created).toBe(true);
  expect(await folders()).toEqual([layer.folder.slice(-12)]);
});

test("of two at once one installs and the other waits for it", async () => {
  await box.python("python3");
  await box.uv();
  await box.order("hang");

  const both = Promise.all([ensurePython(box.options), ensurePython(box.options)]);
  await until(() => box.notices.some((notice) => notice.text.startsWith("waiting")));
  await until(() => existsSync(join(box.root, "hanging")));
  await rm(join(box.root, "orders/hang"));
  const made = await both;

  expect(made.filter((layer) => layer.created)).toHaveLength(1);
  expect(made[0]!.folder).toBe(made[1]!.folder);
  expect((await box.log()).filter((line) => line.startsWith("uv pip install"))).toHaveLength(1);
});

test("the caller's abort ends the installer and leaves nothing", async () => {
  await box.python("python3");
  await box.uv();
  await box.order("hang");
  const controller = new AbortController();

  const layer = ensurePython({ ...box.options, signal: controller.signal });
  await until(() => existsSync(join(box.root, "hanging")));
  const installer = Number(await readFile(join(box.root, "hanging"), "utf8"));
  controller.abort();

  await expect(layer).rejects.toMatchObject({ code: "E_INTERRUPTED", exitCode: 130 });
  expect(await folders()).toEqual([]);
  expect(() => kill(installer, 0)).toThrow("ESRCH");
});

test("without uv on the PATH, or with an old one, a private one is fetched once", async () => {
  await box.python("python3");
  await box.uv("0.4.30");
  const layer = await ensurePython(box.options);
  await rm(layer.folder, { recursive: true });

  await ensurePython(box.options);

  const pip = (await box.log()).filter((line) => line.startsWith("python -m pip install"));
  expect(pip).toHaveLength(1);
  expect(pip[0]).toContain("--require-hashes");
  expect(await readdir(join(box.root, "home/.cache/moxi/uv"))).toEqual(["0.13.9-linux-x64"]);
});

test("no network while uv is fetched: nothing is left of it", async () => {
  await box.python("python3");
  await box.order(
    "pip-fails",
    "WARNING: Retrying after connection broken by 'NameResolutionError(\"Temporary failure in name resolution\")'\nERROR: No matching distribution found for uv==0.13.9\n",
  );

  await expect(ensurePython(box.options)).rejects.toMatchObject({ code: "E_NETWORK", exitCode: 8 });
  expect(await readdir(join(box.root, "home/.cache/moxi/uv"))).toEqual([]);
});

test("a failed installation is told with its cause and leaves nothing half-made", async () => {
  await box.python("python3");
  await box.uv();
  await box.order(
    "uv-fails",
    "Resolved 69 packages in 3ms\nerror: Failed to install: torch.whl (torch==2.15.0)\n  cause: No space left on device (os error 28)\n",
  );

  await expect(ensurePython(box.options)).rejects.toMatchObject({
    code: "E_DISK_FULL",
    message: expect.stringContaining("about 7.0 GB"),
    hint: expect.stringContaining("XDG_CACHE_HOME"),
  });
  expect(await folders()).toEqual([]);
});

test("a Python that does not run where it was installed makes no layer", async () => {
  await box.python("python3");
  await box.uv();
  await box.program(
    "uv",
    (await readFile(join(box.root, "bin/uv"), "utf8")).replace(
      'echo 2.15.0 >"$torch"',
      'echo 2.14.0 >"$torch"',
    ),
  );

  await expect(ensurePython(box.options)).rejects.toMatchObject({ code: "E_PYTHON_INSTALL" });
  expect(await folders()).toEqual([]);
});

test("the layer goes where XDG_CACHE_HOME says, unless that is relative", async () => {
  await box.python("python3");
  await box.uv();
  const to = (folder: string) => ({ ...box.options, env: { ...box.env, XDG_CACHE_HOME: folder } });

  expect((await ensurePython(to(join(box.root, "elsewhere")))).folder).toContain(
    "/elsewhere/moxi/",
  );
  expect((await ensurePython(to("elsewhere"))).folder).toContain("/home/.cache/moxi/");
});

test("Windows is told to use WSL", async () => {
  await expect(ensurePython({ ...box.options, platform: "win32" })).rejects.toMatchObject({
    code: "E_TARGET_UNAVAILABLE",
  });
});

test("a lock of a dead process, even with its number in use again, holds nobody up", async () => {
  await box.python("python3");
  await box.uv();
  await ensurePython(box.options);
  const [lock] = (await readdir(layers())).filter((name) => name.startsWith(".install-"));
  await rm(join(layers(), lock!));
  await symlink(`${process.pid}:another-start`, join(layers(), lock!));
  const [folder] = await folders();
  await rm(join(layers(), folder!), { recursive: true });

  expect((await ensurePython(box.options)).created).toBe(true);
  expect(box.notices.some((notice) => notice.text.startsWith("waiting"))).toBe(false);
});
