// Builds versitygw, a real S3 server, into the user's cache folder, for the tests in test/s3. It takes
// some three minutes of Go, once for each version: `node scripts/versitygw.ts`
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

const version = "v1.8.0";
const cache = process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache");
const folder = join(cache, "moxi", "tools");

/** Where the server lies once it is built. */
export const versitygw = join(folder, `versitygw-${version}`);

/** Builds it, gently, unless it is there; false where there is no Go, or no module proxy. */
export async function buildVersitygw(): Promise<boolean> {
  if (existsSync(versitygw)) return true;
  mkdirSync(folder, { recursive: true });
  const scratch = mkdtempSync(join(folder, "go-"));
  try {
    const built = await new Promise<boolean>((resolve) => {
      const args = [
        "-n",
        "19",
        "go",
        "install",
        `github.com/versity/versitygw/cmd/versitygw@${version}`,
      ];
      const env = { ...process.env, GOBIN: scratch };
      spawn("nice", args, { env, stdio: "ignore" })
        .once("error", () => resolve(false))
        .once("exit", (code) => resolve(code === 0));
    });
    if (built) renameSync(join(scratch, "versitygw"), versitygw);
    return built;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

if (import.meta.main) {
  const built = await buildVersitygw();
  process.stdout.write(built ? `${versitygw}\n` : "Go is missing, or its module proxy\n");
  process.exitCode = built ? 0 : 1;
}
