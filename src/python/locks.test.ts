import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parseLock, readLocks } from "./locks.ts";

const folder = join(import.meta.dirname, "../../trainer/locks");
const requirements = join(folder, "../requirements.in");

test("the locks name every direct requirement at its pinned version", async () => {
  const { packages, torch } = await readLocks(join(folder, "local.txt"));
  const pins = (await readFile(requirements, "utf8")).match(/^[a-z]+==.+$/gm)!;
  expect(pins.length).toBeGreaterThan(5);
  expect(packages.map((entry) => `${entry.name}==${entry.version}`)).toEqual(
    expect.arrayContaining(pins),
  );
  expect(pins).toContain(`torch==${torch}`);
});

test("torch and its CUDA libraries are locked apart, since another build brings its own", async () => {
  const names = async (file: string) =>
    parseLock(await readFile(join(folder, file), "utf8"), file).map((entry) => entry.name);
  const isTorch = /^(torch|triton|nvidia-.*|cuda-.*)$/;
  expect((await names("local.txt")).filter((name) => isTorch.test(name))).toEqual([]);
  expect((await names("torch.txt")).filter((name) => !isTorch.test(name))).toEqual([]);
  // What torch itself imports, hashed like everything else.
  expect(await names("local.txt")).toEqual(
    expect.arrayContaining([
      "filelock",
      "fsspec",
      "jinja2",
      "networkx",
      "sympy",
      "typing-extensions",
    ]),
  );
});

test.for(["local.txt", "torch.txt", "uv.txt"])(
  "%s: every package hashed, no host named",
  async (file) => {
    const text = await readFile(join(folder, file), "utf8");
    for (const entry of parseLock(text, file)) {
      expect(entry.text, entry.name).toMatch(/--hash=sha256:[0-9a-f]{64}$/);
    }
    expect(text).not.toMatch(/https?:|index-url|find-links|@/);
  },
);

const hash = `    --hash=sha256:${"0".repeat(64)}`;

test("reads names, versions and markers", () => {
  const text = `# made\nnumpy==2.4.6 ; python_full_version < '3.12' \\\n${hash} \\\n${hash}\na.b-c==1.0+x \\\n${hash}\n`;
  expect(parseLock(text, "l")).toMatchObject([
    { name: "numpy", version: "2.4.6", marker: "python_full_version < '3.12'" },
    { name: "a.b-c", version: "1.0+x", marker: undefined, text: `a.b-c==1.0+x \\\n${hash}` },
  ]);
});

test.for(["--index-url https://x", "numpy", "numpy>=2 \\", "numpy @ https://x \\", hash])(
  "%j has no place in a lock",
  (line) => {
    expect(() => parseLock(`# lock\n${line}\n`, "l.txt")).toThrow("line 2 is neither");
  },
);

test("a package without a hash is not locked", () => {
  expect(() => parseLock(`numpy==2.4.6 \\\ntorch==2.15.0 \\\n${hash}\n`, "l.txt")).toThrow(
    "numpy has no hash",
  );
});

test("a missing lock is told", async () => {
  await expect(readLocks("/nowhere/local.txt")).rejects.toMatchObject({
    code: "E_INTERNAL",
    place: { file: "/nowhere/local.txt" },
  });
});
