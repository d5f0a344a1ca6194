import { spawn } from "node:child_process";
import { kill } from "node:process";
import { createInterface } from "node:readline";
import { MoxiError, systemCode } from "../base/errors.ts";

export interface ExecuteOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly input?: string;
  /** Seconds until it is killed; none: as long as it takes. */
  readonly timeout?: number;
  readonly signal?: AbortSignal | undefined;
  /** Called for each line of stderr as it comes. */
  readonly onLine?: (line: string) => void;
}

export interface Execution {
  /** Ended by itself with exit code 0. */
  readonly ok: boolean;
  readonly stdout: string;
  /** What it said on stderr, or why it could not be started. */
  readonly stderr: string;
}

/** Enough of a chatty program's output to explain its end, without holding all of it. */
const keptCharacters = 64 * 1024;

/**
 * Runs a program to its end and collects what it says. A program that cannot be started, fails or
 * takes too long gives `ok: false`; only the caller's own abort throws (`E_INTERRUPTED`).
 */
export function execute(
  command: string,
  args: readonly string[],
  options: ExecuteOptions,
): Promise<Execution> {
  const { signal } = options;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(interrupted());
    let stdout = "";
    let stderr = "";
    // A group of its own: Ctrl-C in the terminal is for Moxi to handle, and one kill ends the
    // program with all that it started.
    const { cwd, env } = options;
    const child = spawn(command, args, { cwd, env: { ...env }, detached: true });
    const lines = createInterface({ input: child.stderr });
    lines.on("line", (line) => {
      stderr = `${stderr}${line}\n`.slice(-keptCharacters);
      options.onLine?.(line);
    });
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      stdout = (stdout + chunk).slice(-keptCharacters);
    });
    // A program that ends without reading its input is judged by its exit code alone.
    child.stdin.on("error", () => {});
    child.stdin.end(options.input ?? "");

    const end = () => {
      try {
        if (child.pid !== undefined) kill(-child.pid, "SIGKILL");
      } catch {
        // It has just ended by itself.
      }
    };
    const { timeout } = options;
    const timer = timeout === undefined ? undefined : setTimeout(end, timeout * 1000);
    signal?.addEventListener("abort", end, { once: true });
    const settle = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
    };
    child.on("error", (error) => {
      settle();
      const why = systemCode(error) === "ENOENT" ? "there is no such program" : error.message;
      resolve({ ok: false, stdout, stderr: why });
    });
    child.on("close", (code) => {
      settle();
      if (signal?.aborted) reject(interrupted());
      else resolve({ ok: code === 0, stdout, stderr });
    });
  });
}

export function interrupted(): MoxiError {
  return new MoxiError("E_INTERRUPTED", "stopped while setting up Python", {
    hint: "what was downloaded is kept: run the same command again to go on",
  });
}
