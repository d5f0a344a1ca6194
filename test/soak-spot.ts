// Takes the spot machine away at random moments: `node test/soak-spot.ts [interruptions] [seed]`.
// A job in the test cloud must end with the very weights of one that nobody disturbed.
import { createHash } from "node:crypto";
import { homedir } from "node:os";
import { join } from "node:path";
import { GetObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { ensurePython } from "../src/python/ensure.ts";
import { setUpAccount } from "./cloud/account.ts";
import { rehearsalImage, startCloud } from "./cloud/start.ts";
import { createProject, exampleRows } from "./project.ts";

const count = Number(process.argv[2] ?? process.env["INTERRUPTIONS"] ?? 20);
const seed = Number(process.argv[3] ?? process.env["SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const say = (text: string) => process.stdout.write(`${text}\n`);
say(`spot: seed ${seed}, ${count} interruptions`);

let state = seed;
const random = () => {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return state / 2 ** 32;
};
/** 40 rows, 4 a step. */
const epochs = Math.ceil((3 * count) / 10);
const steps = epochs * 10;
const moments = Array.from({ length: count }, () => 1 + Math.floor(random() * (steps - 1)))
  .toSorted((a, b) => a - b)
  // One in five comes while the job starts, before it has done anything.
  .map((step) => (random() < 0.2 ? '"type":"phase"' : `"step":${step},`));

const { python } = await ensurePython({
  env: process.env,
  home: homedir(),
  lockFile: join(import.meta.dirname, "../trainer/locks/local.txt"),
  host: { notify: ({ text }) => say(text) },
});
const cloud = await startCloud(python);
const { env, account, bucket } = await setUpAccount(cloud);
account.close();
const project = await createProject({ ...env, MOXI_SAGEMAKER_IMAGE: rehearsalImage });
await project.write("rows.json", JSON.stringify(exampleRows(44)));
const rhythm = { evalEverySteps: 10, saveEverySteps: 3, generationTokens: 4 };
const settings = { dataset: "rows.json", split: { evalFraction: 0.1 }, effectiveBatch: 4, epochs };
await project.write("moxi.config.json", JSON.stringify({ ...settings, ...rhythm, keep: "last" }));
const client = new S3Client({
  endpoint: cloud.endpoint,
  region: "us-east-1",
  forcePathStyle: true,
  credentials: {
    accessKeyId: cloud.env["AWS_ACCESS_KEY_ID"]!,
    secretAccessKey: cloud.env["AWS_SECRET_ACCESS_KEY"]!,
  },
});

async function train(run: string, ...flags: string[]) {
  const done = await project.moxi("train", "--run-id", run, "--yes", "--json", ...flags);
  if (done.code !== 0)
    throw new Error(`${run} ended with ${done.code}\n${done.stdout.slice(-3000)}`);
  const { view } = JSON.parse(done.stdout.trimEnd().split("\n").at(-1)!);
  const Key = `moxi/models/checkpoints/moxi-${run}-a1/output/model/model.safetensors`;
  const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key }));
  const sha = createHash("sha256")
    .update(await Body!.transformToByteArray())
    .digest("hex");
  return { boots: view.attempts[0].boots as number, sha };
}

try {
  const whole = await train("whole");
  await cloud.order("interrupt", { job: "moxi-cut-a1", at: moments });
  const cut = await train("cut", "--spot");
  say(`  ${moments.join(" ")}`);
  if (cut.boots !== count + 1)
    throw new Error(`${cut.boots - 1} interruptions instead of ${count}`);
  if (cut.sha !== whole.sha) throw new Error("the weights differ");
  say(`${count} interruptions, the weights equal to the last bit`);
} finally {
  client.destroy();
  await project.remove();
  await cloud.stop();
}
