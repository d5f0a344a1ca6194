/**
 * A cloud for trying things by hand: `make cloud` starts one with an account that is set up as
 * docs/AWS_TRAINING_FLOW_NOW.md says, writes its settings to a file, and runs until Ctrl-C.
 * Training jobs are processes of this machine, on the packages that `make train` installs.
 */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { ensurePython } from "../../src/python/ensure.ts";
import { setUpAccount } from "./account.ts";
import { rehearsalImage, startCloud } from "./start.ts";

const build = join(import.meta.dirname, "../../build");
const file = join(build, "cloud.env");
const { python } = await ensurePython({
  env: process.env,
  home: homedir(),
  lockFile: join(import.meta.dirname, "../../trainer/locks/local.txt"),
  host: { notify: ({ text }) => void process.stderr.write(`${text}\n`) },
});
const cloud = await startCloud(makeImage(python));
const { env } = await setUpAccount(cloud);
const settings = { ...env, MOXI_SAGEMAKER_IMAGE: rehearsalImage };
await mkdir(build, { recursive: true });
const lines = Object.entries(settings).map(([name, value]) => `export ${name}='${value}'\n`);
await writeFile(file, lines.join(""));
process.stdout.write(
  `a cloud is running at ${cloud.endpoint}; in another terminal:\n\n` +
    `  . build/cloud.env && make train-aws\n\nCtrl-C ends it and everything in it\n`,
);
/** A Python with the training stack and, for jobs that read a token, boto3: as the locked layer has it. */
function makeImage(training: string): string {
  const folder = join(build, "cloud-image");
  const ask = (of: string, program: string) =>
    execFileSync(of, ["-c", program], { encoding: "utf8" }).trim();
  const packages = "import sysconfig; print(sysconfig.get_path('purelib'))";
  const tools = join(build, "python-tools/bin/python");
  execFileSync(training, ["-m", "venv", "--clear", "--without-pip", folder]);
  const image = join(folder, "bin/python");
  const both = [training, tools].map((of) => `${ask(of, packages)}\n`);
  writeFileSync(join(ask(image, packages), "image.pth"), both.join(""));
  return image;
}

process.once("SIGINT", () => {
  void cloud.stop().then(() => process.exit());
});
