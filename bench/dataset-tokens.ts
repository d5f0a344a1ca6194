// Tokens per second of `moxi data stats` against the fast tokenizer of Python on one core, on texts
// of installed packages: node bench/dataset-tokens.ts [BYTES]
import { execFileSync } from "node:child_process";
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { ensurePython } from "../src/python/ensure.ts";

const here = import.meta.dirname;
const bytes = Number(process.argv[2] ?? 30e6);
const folder = mkdtempSync(join(tmpdir(), "moxi-bench-"));
const rounds = 3;

interface Ours {
  readonly tokens: number;
  readonly seconds: number;
  readonly megabytes: number;
}

try {
  const { python } = await ensurePython({
    env: process.env,
    home: homedir(),
    host: { notify() {} },
    lockFile: join(here, "../trainer/locks/local.txt"),
  });
  const peer = (what: string) =>
    String(execFileSync(python, [join(here, "dataset-tokens/peer.py"), what, folder]));
  writeFileSync(join(folder, "rows.jsonl"), rows());
  peer("train");
  const ratios: number[] = [];
  for (let round = 0; round < rounds; round++) {
    // One after the other in each round: both meet the same machine.
    const count = [join(here, "dataset-tokens/count.ts"), folder];
    const ours = JSON.parse(String(execFileSync(process.execPath, count))) as Ours;
    const [tokens, seconds] = peer("count").split(" ").map(Number) as [number, number];
    const [own, other] = [ours.tokens / ours.seconds, tokens / seconds];
    ratios.push(own / other);
    process.stdout.write(
      `moxi ${own.toFixed(0)} tokens/s (${ours.tokens}), ${ours.megabytes.toFixed(0)} MB; ` +
        `tokenizers ${other.toFixed(0)} tokens/s (${tokens}); ${(own / other).toFixed(2)} times\n`,
    );
  }
  process.stdout.write(`median ${ratios.toSorted((a, b) => a - b)[1]!.toFixed(2)} times\n`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** What packages say of themselves, in pieces of at most 6,000 characters. */
function rows(): string {
  const lines: string[] = [];
  let written = 0;
  const files = globSync("node_modules/**/*.{md,d.ts}", { cwd: join(here, "..") }).sort();
  for (let pass = 0; written < bytes && pass < 20; pass++) {
    for (const file of files) {
      if (written >= bytes) break;
      let text: string;
      try {
        text = readFileSync(join(here, "..", file), "utf8");
      } catch {
        continue; // A folder of that name.
      }
      for (let at = 0; at < text.length && written < bytes; at += 6000) {
        const content = text.slice(at, at + 6000).toWellFormed();
        if (content.trim() === "") continue;
        const messages = [
          { role: "user", content: `Write part ${at / 6000 + 1} of ${file}, take ${pass + 1}.` },
          { role: "assistant", content },
        ];
        const line = JSON.stringify({ messages });
        lines.push(line);
        written += line.length + 1;
      }
    }
  }
  return `${lines.join("\n")}\n`;
}
