// Builds kernel/ (AssemblyScript) into src/dataset/kernel/wasm.ts. `--check` only tells whether that
// is up to date.
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { main } from "assemblyscript/asc";

const root = fileURLToPath(new URL("..", import.meta.url));
const target = join(root, "src/dataset/kernel/wasm.ts");
const folder = await mkdtemp(join(tmpdir(), "moxi-kernel-"));
try {
  const binary = join(folder, "kernel.wasm");
  const options = [
    "--enable",
    "simd",
    "--enable",
    "relaxed-simd",
    "--runtime",
    "stub",
    "--noAssert",
    "-O3",
    "--memoryBase",
    "1024",
  ];
  const memory = ["--initialMemory", "32", "--maximumMemory", "32"];
  const { error } = await main(
    ["kernel/index.ts", "--baseDir", root, "-o", binary, ...options, ...memory],
    { stderr: process.stderr },
  );
  if (error !== null) throw error;
  const base64 = (await readFile(binary)).toString("base64");
  const text = `// Built from kernel/ by scripts/kernel.ts.\nexport const wasm =\n  "${base64}";\n`;
  const stale = text !== (await readFile(target, "utf8").catch(() => ""));
  if (stale && process.argv.includes("--check")) {
    process.stderr.write("out of date: src/dataset/kernel/wasm.ts (run: node scripts/kernel.ts)\n");
    process.exitCode = 1;
  } else if (stale) await writeFile(target, text);
} finally {
  await rm(folder, { recursive: true, force: true });
}
