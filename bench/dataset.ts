// Rows per second of the dataset check against Hugging Face datasets with the format checks of
// OpenAI's cookbook, on the same file and machine: node bench/dataset.ts [BYTES [rows.jsonl|rows.json]]
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { ensurePython } from "../src/python/ensure.ts";

const here = import.meta.dirname;
const [bytes = "1e9", only] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), "moxi-bench-"));
const rounds = 3;

interface Ours {
  readonly rows: number;
  readonly seconds: number;
  readonly megabytes: number;
}

try {
  const python =
    process.env["MOXI_BENCH_PYTHON"] ??
    (
      await ensurePython({
        env: process.env,
        home: homedir(),
        host: { notify() {} },
        lockFile: join(here, "../trainer/locks/local.txt"),
      })
    ).python;
  const rows = execFileSync(process.execPath, [join(here, "dataset/rows.ts"), folder, bytes]);
  process.stdout.write(
    `${String(rows).trim()} rows, ${bytes} bytes, ${availableParallelism()} cores\n`,
  );
  for (const name of only === undefined ? ["rows.jsonl", "rows.json"] : [only]) {
    const file = join(folder, name);
    const ratios: number[] = [];
    for (let round = 0; round < rounds; round++) {
      // One after the other in each round: both meet the same machine.
      const ours = JSON.parse(
        String(execFileSync(process.execPath, [join(here, "dataset/check.ts"), file])),
      ) as Ours;
      const peer = String(execFileSync(python, [join(here, "dataset/peer.py"), file])).split(" ");
      const [own, other] = [ours.rows / ours.seconds, Number(peer[0]) / Number(peer[1])];
      ratios.push(own / other);
      process.stdout.write(
        `${name}: moxi ${own.toFixed(0)} rows/s, ${ours.megabytes.toFixed(0)} MB; ` +
          `datasets ${other.toFixed(0)} rows/s; ${(own / other).toFixed(1)} times\n`,
      );
    }
    process.stdout.write(
      `${name}: median ${ratios.toSorted((a, b) => a - b)[1]!.toFixed(1)} times\n`,
    );
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
