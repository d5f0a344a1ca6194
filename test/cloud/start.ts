import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** A running cloud, seen as a user sees AWS: an address and keys. */
export interface Cloud {
  readonly endpoint: string;
  readonly account: string;
  /** The root's keys and the region, by AWS's names. */
  readonly env: Readonly<Record<string, string>>;
  /** An order to the cloud itself: a fault, a quota, an interruption. */
  order(name: string, given?: Readonly<Record<string, unknown>>): Promise<unknown>;
  stop(): Promise<void>;
}

/** The image that the cloud can run: containers of it get this machine's Python. */
export const rehearsalImage = "763104351884.dkr.ecr.us-east-1.amazonaws.com/rehearsal:1";

const python = join(import.meta.dirname, "../../build/python-tools/bin/python");

/** An image whose Python does nothing: its jobs run until they are stopped. */
export async function idleImage(folder: string): Promise<string> {
  const path = join(folder, "python3");
  await writeFile(path, "#!/bin/sh\nexec sleep 600\n", { mode: 0o755 });
  return path;
}

/**
 * Starts a cloud. Its containers run `image`, an interpreter of this machine, and are killed so many
 * seconds after they were asked to stop.
 */
export async function startCloud(image: string = python, grace = 5): Promise<Cloud> {
  const folder = await mkdtemp(join(tmpdir(), "moxi-cloud-"));
  const runnable = `${rehearsalImage}=${image}`;
  const script = join(import.meta.dirname, "server.py");
  const service = ["--pace", "0.05", "--grace", `${grace}`, "--until-eof"];
  const options = ["--node", process.execPath, "--image", runnable, "--folder", folder];
  const server = spawn(
    python,
    [script, ...options, ...service],
    // A test that ends badly must not wait for the cloud, which ends with its input. Nor may the
    // cloud hold the test's own output open.
    { stdio: "pipe", env: { PATH: process.env["PATH"], HOME: folder } },
  );
  server.stderr.on("data", (text: Buffer) => process.stderr.write(text));
  const exited = once(server, "exit");
  const lines = createInterface({ input: server.stdout });
  const ended = exited.then(() => {
    throw new Error("the cloud ended before it began");
  });
  const [line] = (await Promise.race([once(lines, "line"), ended])) as [string];
  const told = JSON.parse(line) as Record<
    "endpoint" | "account" | "accessKeyId" | "secretAccessKey",
    string
  >;
  return {
    endpoint: told.endpoint,
    account: told.account,
    env: {
      AWS_ENDPOINT_URL: told.endpoint,
      AWS_REGION: "us-east-1",
      AWS_ACCESS_KEY_ID: told.accessKeyId,
      AWS_SECRET_ACCESS_KEY: told.secretAccessKey,
    },
    async order(name, given = {}) {
      const answer = await fetch(`${told.endpoint}/_cloud/${name}`, {
        method: "POST",
        body: JSON.stringify(given),
      });
      if (!answer.ok) throw new Error(`${name}: ${answer.status} ${await answer.text()}`);
      return answer.json();
    },
    async stop() {
      server.kill("SIGTERM");
      const timer = setTimeout(() => server.kill("SIGKILL"), 10_000);
      await exited;
      clearTimeout(timer);
      await rm(folder, { recursive: true, force: true });
    },
  };
}
