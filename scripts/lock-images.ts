/**
 * Makes trainer/locks/<image>.json again: for each image the wheels that are laid over its own
 * packages, from trainer/requirements.in and requirements-image.in. torch and what only torch needs
 * is the image's. `node scripts/lock-images.ts [image...] [--upgrade]`
 *
 * What each wheel says that it needs is kept beside the tests, which prove that the locks are whole.
 *
 * Needs uv, which resolves, and pip, which fetches the very files that it takes for an image.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sha256 } from "../src/base/hash.ts";
import type { ImageLock, LockedWheel } from "../src/bundle/image-lock.ts";

const trainer = join(import.meta.dirname, "../trainer");
const locks = join(trainer, "locks");

interface Image {
  /** The image's tag. */
  readonly image: string;
  readonly python: string;
  readonly torch: string;
}

/** The Hugging Face training images of AWS; their systems have glibc 2.34 or newer. */
const images: readonly Image[] = [
  {
    image: "2.9.0-transformers5.3.0-gpu-py312-cu130-ubuntu22.04",
    python: "3.12",
    torch: "2.9.0",
  },
  {
    image: "2.8.0-transformers4.56.2-gpu-py312-cu129-ubuntu22.04",
    python: "3.12",
    torch: "2.8.0",
  },
  {
    image: "2.7.1-transformers4.55.0-gpu-py312-cu128-ubuntu22.04",
    python: "3.12",
    torch: "2.7.1",
  },
  {
    image: "2.5.1-transformers4.49.0-gpu-py311-cu124-ubuntu22.04",
    python: "3.11",
    torch: "2.5.1",
  },
];

/** What wheels for x86-64 Linux of the last ten years are tagged with, the newest first. */
const platforms = [
  ...Array.from({ length: 24 }, (_, index) => `manylinux_2_${28 - index}_x86_64`),
  "manylinux2014_x86_64",
  "manylinux2010_x86_64",
  "manylinux1_x86_64",
  "linux_x86_64",
];

/** By a wheel's file name: its Requires-Dist and Requires-Python. */
type Requirements = Record<string, { requires: string[]; python: string | null }>;
const requirementsFile = join(trainer, "tests/wheel-requirements.json");
const ofWheels: Requirements = existsSync(requirementsFile)
  ? (JSON.parse(readFileSync(requirementsFile, "utf8")) as Requirements)
  : {};

const readRequirements = `
import email, json, sys, zipfile
from pathlib import Path
told = {}
for path in Path(sys.argv[1]).glob("*.whl"):
    with zipfile.ZipFile(path) as wheel:
        name = next(each for each in wheel.namelist() if each.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(wheel.read(name))
    requires = [each for each in metadata.get_all("Requires-Dist") or [] if "extra ==" not in each]
    told[path.name] = {"requires": requires, "python": metadata["Requires-Python"]}
print(json.dumps(told))`;

const asked = process.argv.slice(2).filter((word) => !word.startsWith("--"));
const upgrade = process.argv.includes("--upgrade");
for (const image of images) {
  if (asked.length > 0 && !asked.includes(image.image)) continue;
  const wheels = lockImage(image);
  const lock: ImageLock = { formatVersion: 1, ...image, platforms, wheels };
  writeFileSync(join(locks, `${image.image}.json`), `${JSON.stringify(lock, null, 2)}\n`);
  const bytes = wheels.reduce((sum, { size }) => sum + size, 0);
  keepRequirements();
  process.stdout.write(`${image.image}: ${wheels.length} wheels, ${(bytes / 1e6).toFixed(0)} MB\n`);
}

function lockImage({ image, python, torch }: Image): LockedWheel[] {
  const scratch = mkdtempSync(join(tmpdir(), "moxi-lock-"));
  const file = (name: string, text: string) => {
    writeFileSync(join(scratch, name), text);
    return join(scratch, name);
  };
  const read = (name: string) => readFileSync(join(trainer, name), "utf8");
  try {
    const wanted = [
      ...read("requirements.in").split("\n"),
      ...read("requirements-image.in").split("\n"),
    ]
      .filter((line) => line !== "" && !/^(#|torch==)/.test(line))
      .join("\n");
    const resolve = (name: string, requirements: string, ...more: string[]) => {
      run("uv", ["pip", "compile", file(`${name}.in`, requirements), "--quiet"], {
        args: ["--output-file", join(scratch, `${name}.txt`), "--generate-hashes", "--no-header"],
        more: ["--no-annotate", "--no-emit-index-url", "--only-binary", ":all:", ...more],
        platform: ["--python-version", python, "--python-platform", "x86_64-manylinux_2_28"],
      });
      return readFileSync(join(scratch, `${name}.txt`), "utf8");
    };
    // Versions that run with the image's torch; those of the lock before, where they still do.
    const before = join(locks, `${image}.json`);
    const pins = existsSync(before) && !upgrade ? pinsOf(before) : "";
    resolve("with-torch", `${wanted}\ntorch==${torch}\n`, "--constraint", file("pins.txt", pins));
    // The same without torch, and so without what only torch needs.
    const constraint = file("versions.txt", versionsOf(join(scratch, "with-torch.txt")));
    const never = file("override.txt", "torch ; sys_platform == 'never'\n");
    resolve("layer", wanted, "--constraint", constraint, "--override", never);
    return chosenFiles(join(scratch, "layer.txt"), python, scratch);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Of the wheels that some lock names. */
function keepRequirements(): void {
  const files = images
    .map(({ image }) => join(locks, `${image}.json`))
    .filter((file) => existsSync(file))
    .flatMap((file) => (JSON.parse(readFileSync(file, "utf8")) as ImageLock).wheels)
    .map(({ file }) => file);
  const kept = [...new Set(files)].sort().flatMap((file) => {
    const known = ofWheels[file];
    return known === undefined ? [] : [[file, known] as const];
  });
  const text = JSON.stringify(Object.fromEntries(kept), null, 2);
  writeFileSync(requirementsFile, `${text}\n`);
}

function pinsOf(file: string): string {
  const { wheels } = JSON.parse(readFileSync(file, "utf8")) as ImageLock;
  const direct =
    /^(?:boto3|torch|transformers|trl|peft|accelerate|datasets|tokenizers|safetensors)$/;
  return wheels
    .filter(({ name }) => !direct.test(name))
    .map(({ name, version }) => `${name}==${version}`)
    .join("\n");
}

function versionsOf(file: string): string {
  return (readFileSync(file, "utf8").match(/^[a-z0-9][^\s;\\]+==[^\s;\\]+/gim) ?? []).join("\n");
}

/** Which file pip takes for each package on this platform: it is fetched, since only that tells its size. */
function chosenFiles(requirements: string, python: string, scratch: string): LockedWheel[] {
  const folder = join(scratch, "wheels");
  run("python3", ["-m", "pip", "download", "--quiet", "--no-deps"], {
    args: ["--require-hashes", "--requirement", requirements, "--dest", folder],
    target: ["--python-version", python, "--implementation", "cp", "--only-binary", ":all:"],
    platform: platforms.flatMap((platform) => ["--platform", platform]),
    more: ["--disable-pip-version-check", "--no-input"],
  });
  const told = run("python3", ["-c", readRequirements, folder], {});
  Object.assign(ofWheels, JSON.parse(told) as Requirements);
  return readdirSync(folder)
    .sort()
    .map((file) => {
      const [name = "", version = ""] = file.split("-");
      const bytes = readFileSync(join(folder, file));
      return {
        name: name.toLowerCase().replaceAll(/[-_.]+/g, "-"),
        version,
        file,
        sha256: sha256(bytes),
        size: bytes.length,
      };
    });
}

function run(command: string, args: readonly string[], more: Record<string, readonly string[]>) {
  const { status, stdout, stderr, error } = spawnSync(
    command,
    [...args, ...Object.values(more).flat()],
    { encoding: "utf8", maxBuffer: 1e8 },
  );
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} failed:\n${stderr}`);
  return stdout;
}
