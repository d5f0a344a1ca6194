import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const bin = resolve(import.meta.dirname, "../bin/moxi.cjs");

/** What a command left: everything that it wrote, and its exit code (null: killed). */
export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly child: ChildProcess;
  /** What it has written so far. */
  readonly written: { stdout: string; stderr: string };
  readonly finished: Promise<Finished>;
}

/** A user's project in a folder of its own, and the real command line in it. */
export interface Project {
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
  /** Runs a command to its end. */
  moxi(...args: string[]): Promise<Finished>;
  /** Starts a command and leaves it running. */
  start(...args: string[]): Running;
  write(name: string, content: string | Uint8Array): Promise<string>;
  /** Ends what still runs of its commands, and takes the folder away. */
  remove(): Promise<void>;
}

/**
 * Makes an empty project. It shares nothing with the user's own runs: the machine's lock lies in
 * the project too. The Python layer comes from the user's cache.
 */
export async function createProject(more: Record<string, string> = {}): Promise<Project> {
  const folder = await mkdtemp(join(tmpdir(), "moxi-project-"));
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(?:AWS_|MOXI_(?!PYTHON)|HF_|HUGGING|FORCE_COLOR|NO_COLOR|PYTHON)/.test(name),
  );
  const env = {
    ...(Object.fromEntries(kept) as Record<string, string>),
    XDG_STATE_HOME: join(folder, ".state"),
    ...more,
  };
  const running = new Set<ChildProcess>();
  const start = (...args: string[]): Running => {
    const child = spawn(process.execPath, [bin, ...args], {
      cwd: folder,
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const written = { stdout: "", stderr: "" };
    child.stdout.setEncoding("utf8").on("data", (text: string) => (written.stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (written.stderr += text));
    running.add(child);
    const finished = new Promise<Finished>((done) =>
      child.on("close", (code) => {
        running.delete(child);
        done({ code, ...written });
      }),
    );
    return { child, written, finished };
  };
  return {
    folder,
    env,
    start,
    moxi: (...args) => start(...args).finished,
    async write(name, content) {
      const path = join(folder, name);
      await writeFile(path, content);
      return path;
    },
    async remove() {
      // What a failed test has left running.
      for (const child of running) child.kill("SIGKILL");
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** Rows that a toy model can learn in seconds. */
export function exampleRows(count: number): object[] {
  const names = ["otter", "heron", "lynx", "robin", "wolf", "panda", "eagle", "koala"];
  return Array.from({ length: count }, (_, index) => {
    const name = `${names[index % names.length]}-${Math.floor(index / names.length)}`;
    return {
      instruction: "Write the README of this package.",
      input: { project_type: "library", file_tree: `${name}/\n  index.js\n  package.json` },
      content: `# ${name}\n\nA small library.\n\n## Install\n\n\`\`\`sh\nnpm install ${name}\n\`\`\`\n`,
    };
  });
}
