import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { check } from "./check.ts";
import type { Recorded } from "./decode.ts";

/** Preloaded by vitest.config.ts here and in worker threads, by NODE_OPTIONS in processes. */
const recorder = join(import.meta.dirname, "record.cjs");

export interface Recording {
  /** The requests to AWS since the last call, from this process and those that it started. */
  take(): Recorded[];
  end(): void;
}

/** Starts to write down every request to AWS. */
export function startRecording(): Recording {
  const folder = mkdtempSync(join(tmpdir(), "moxi-contract-"));
  const taken = new Map<string, number>();
  const before = process.env["CONTRACT_RECORD"];
  process.env["CONTRACT_RECORD"] = folder;
  const options = process.env["NODE_OPTIONS"] ?? "";
  if (!options.includes(recorder)) {
    process.env["NODE_OPTIONS"] = `${options} --require=${JSON.stringify(recorder)}`.trim();
  }
  return {
    take() {
      return readdirSync(folder).flatMap((name) => {
        // What is not a whole line yet is left for the next time.
        const lines = readFileSync(join(folder, name), "utf8").split("\n").slice(0, -1);
        const fresh = lines.slice(taken.get(name) ?? 0);
        taken.set(name, lines.length);
        return fresh.map((line) => JSON.parse(line) as Recorded);
      });
    },
    end() {
      if (before === undefined) delete process.env["CONTRACT_RECORD"];
      else process.env["CONTRACT_RECORD"] = before;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Throws, naming each request that AWS would refuse. */
export function demandValid(requests: readonly Recorded[]): void {
  const problems = new Set(requests.flatMap((request) => check(request)));
  if (problems.size > 0) throw new Error(`AWS would refuse this:\n${[...problems].join("\n")}`);
}
