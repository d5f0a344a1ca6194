import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { versitygw } from "../../scripts/versitygw.ts";

/** An S3 server on this machine, in its own folder. */
export interface S3Server {
  readonly kind: "versitygw" | "moto";
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** TLS material of the test's own authority; moto speaks plainly. */
  readonly tls: Tls | undefined;
  /** Where it keeps its objects, as files. */
  readonly data: string | undefined;
  stop(): void;
}

interface Tls {
  readonly certificateFile: string;
  readonly certificate: string;
  readonly key: string;
  readonly keyFile: string;
}

export const credentials = { AWS_ACCESS_KEY_ID: "moxi", AWS_SECRET_ACCESS_KEY: "moxi-secret" };
export const bucket = { name: "moxi-test" };

const python = join(import.meta.dirname, "../../build/python-tools/bin/python");

/** The servers that this machine can run: versitygw where it was built, moto where Python's test tools are. */
export const kinds: readonly S3Server["kind"][] = [
  ...(existsSync(versitygw) ? (["versitygw"] as const) : []),
  ...(existsSync(python) ? (["moto"] as const) : []),
];

/** A certificate that signs itself, for this machine's loopback. */
export function makeTls(folder: string): Tls {
  const keyFile = join(folder, "tls.key");
  const certificateFile = join(folder, "tls.pem");
  const names = "subjectAltName=DNS:localhost,IP:127.0.0.1";
  const request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
  const rest = ["-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", names];
  const files = ["-keyout", keyFile, "-out", certificateFile];
  execFileSync("openssl", [...request, ...rest, ...files], { stdio: "ignore" });
  const [certificate, key] = [certificateFile, keyFile].map((file) => readFileSync(file, "utf8"));
  return { certificateFile, keyFile, certificate: certificate!, key: key! };
}

/** Starts a server with an empty bucket; `more` are options of versitygw's file store. */
export async function startServer(
  kind: S3Server["kind"],
  more: readonly string[] = [],
): Promise<S3Server> {
  const folder = mkdtempSync(join(tmpdir(), "moxi-s3-"));
  const port = await freePort();
  const tls = kind === "versitygw" ? makeTls(folder) : undefined;
  mkdirSync(join(folder, "data", bucket.name), { recursive: true });
  const env = {
    PATH: process.env["PATH"],
    ROOT_ACCESS_KEY: credentials.AWS_ACCESS_KEY_ID,
    ROOT_SECRET_KEY: credentials.AWS_SECRET_ACCESS_KEY,
  };
  const child =
    tls === undefined
      ? spawn(python, ["-m", "moto.server", "-H", "127.0.0.1", "-p", `${port}`], {
          stdio: "ignore",
        })
      : spawn(
          versitygw,
          [
            "--port",
            `127.0.0.1:${port}`,
            "--cert",
            tls.certificateFile,
            "--key",
            tls.keyFile,
            "--keep-alive",
            "--quiet",
            "posix",
            ...more,
            join(folder, "data"),
          ],
          { env, stdio: "ignore" },
        );
  const stop = () => {
    child.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  };
  process.once("exit", stop);
  const url = `${tls === undefined ? "http" : "https"}://127.0.0.1:${port}`;
  for (let tries = 0; !(await answers(port)); tries++) {
    if (tries > 600 || child.exitCode !== null) throw new Error(`${kind} does not start`);
    await sleep(50);
  }
  if (kind === "moto") await fetch(`${url}/${bucket.name}`, { method: "PUT" });
  const data = kind === "versitygw" ? join(folder, "data") : undefined;
  return { kind, url, port, pid: child.pid!, tls, data, stop };
}

function answers(port: number): Promise<boolean> {
  return fetch(`http://127.0.0.1:${port}/`).then(
    () => true,
    // A TLS server hangs up on plain text; nobody there refuses.
    (error: { cause?: { code?: string } }) => error.cause?.code !== "ECONNREFUSED",
  );
}

export function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
