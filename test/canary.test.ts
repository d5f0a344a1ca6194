import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openAws } from "../src/aws/aws.ts";
import type { Aws } from "../src/aws/aws.ts";
import { makeBundle } from "../src/bundle/bundle.ts";
import { uploadContent } from "../src/storage/content.ts";
import { downloadPrefix } from "../src/storage/download.ts";
import { startRecording } from "./contract/recording.ts";
import type { Recording } from "./contract/recording.ts";
import { createProject, exampleRows } from "./project.ts";
import type { Project } from "./project.ts";
import { bucket, startServer } from "./s3/server.ts";
import type { S3Server } from "./s3/server.ts";

// Secrets that are easy to recognise: they may lie where the user has put them and nowhere else.

const secrets = { HF_TOKEN: "hf_CANARY", AWS_SECRET_KEY: "CANARY2" };
const env = { ...secrets, HUGGINGFACE_ACCESS_TOKEN: "hf_CANARY", AWS_ACCESS_KEY: "AKIACANARYKEY" };

let project: Project;
let server: S3Server;
let aws: Aws;
let recording: Recording;
/** All that was said: by the commands, and as notices. */
const said: string[] = [];

beforeAll(async () => {
  recording = startRecording();
  server = await startServer("moto");
  project = await createProject({
    ...env,
    AWS_REGION: "us-east-1",
    AWS_ENDPOINT_URL_S3: server.url,
  });
  await project.write("rows.json", JSON.stringify(exampleRows(12)));
  const config = { dataset: "rows.json", epochs: 1, effectiveBatch: 4, generationTokens: 4 };
  await project.write("moxi.config.json", JSON.stringify(config));
  await project.write(
    ".env",
    Object.entries(env)
      .map(([name, value]) => `${name}=${value}\n`)
      .join(""),
  );
  aws = await openAws({
    env: { ...env, AWS_REGION: "us-east-1", AWS_ENDPOINT_URL_S3: server.url },
    home: project.folder,
    host: { notify: (notice) => void said.push(JSON.stringify(notice)) },
  });
});
afterAll(async () => {
  aws?.close();
  server?.stop();
  recording?.end();
  await project?.remove();
});

/** Every file below a folder that holds one of these words. */
async function holding(folder: string, words: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (!entry.isFile()) continue;
    const bytes = await readFile(path);
    const forms = words.flatMap((word) => [word, btoa(word).replace(/=*$/, "")]);
    if (forms.some((word) => bytes.includes(word))) found.push(path.slice(folder.length + 1));
  }
  return found;
}

test("no token and no key gets into files, logs, output, the bundle or the bucket", async () => {
  const commands = [
    ["config"],
    ["config", "--json"],
    ["data", "check"],
    ["data", "show"],
    ["train"],
    ["runs"],
    ["runs", "--json"],
    ["show"],
    ["show", "--json"],
    ["watch", "--json"],
    ["logs"],
    ["stop"],
    ["storage", "cp", "rows.json", `s3://${bucket.name}/moxi/hand/`],
    ["storage", "sync", `s3://${bucket.name}/moxi/hand/`, "hand", "--json"],
    ["storage", "sync", "hand", `s3://${bucket.name}/moxi/back/`],
    ["storage", "cp", "none", `s3://${bucket.name}/moxi/hand/`],
    ["train", "--model", "nobody/none", "--revision", "x"],
    ["train", "--dataset", "none.json"],
  ];
  const codes: Record<string, number | null> = {};
  for (const command of commands) {
    const { code, stdout, stderr } = await project.moxi(...command);
    codes[command.join(" ")] = code;
    said.push(stdout, stderr);
  }
  // A feature that does not work hides what it would have told.
  expect(codes).toMatchObject({
    config: 0,
    "data check": 0,
    train: 0,
    runs: 0,
    "show --json": 0,
    logs: 0,
    [`storage cp rows.json s3://${bucket.name}/moxi/hand/`]: 0,
    [`storage sync s3://${bucket.name}/moxi/hand/ hand --json`]: 0,
    [`storage sync hand s3://${bucket.name}/moxi/back/`]: 0,
  });

  const [run] = await readdir(join(project.folder, ".moxi/runs"));
  const host = { notify: (notice: object) => void said.push(JSON.stringify(notice)) };
  const options = { bucket, host, clock: { now: () => new Date() }, pauseMs: 2 };
  const cacheFile = join(project.folder, ".moxi/hashes.json");
  const trainer = join(import.meta.dirname, "../trainer");
  const user = { folder: project.folder, paths: ["."] };
  const bundle = await makeBundle({ trainer, user, secrets: Object.values(secrets) });
  const code = bundle.files.map(({ source, path }) => ({ path: source, name: path }));
  const sent = await uploadContent(aws, code, { ...options, prefix: "moxi/code/", cacheFile });
  expect(sent).toMatchObject({ sha: bundle.sha, prefix: `moxi/code/${bundle.sha}/` });
  for (const part of ["model", "output", "checkpoints", "input/data/job"]) {
    const folder = join(project.folder, ".moxi/runs", run!, part);
    const found = await readdir(folder, { recursive: true, withFileTypes: true });
    const files = found
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => ({ path, name: path.slice(folder.length + 1) }));
    await uploadContent(aws, files, { ...options, prefix: `moxi/runs/${part}/`, cacheFile });
  }
  const fetched = join(project.folder, "fetched");
  await downloadPrefix(aws, { prefix: "moxi/", folder: fetched }, options);

  const words = Object.values(secrets);
  // What has to be found is found: the search looks where it should.
  expect((await holding(fetched, [run!])).length).toBeGreaterThan(0);
  expect(await holding(project.folder, words)).toEqual([".env"]);
  expect(said.join("\n")).toContain(run);
  expect(words.filter((word) => said.join("\n").includes(word))).toEqual([]);
  const requests = recording.take();
  expect(requests.length).toBeGreaterThan(code.length);
  const wire = requests
    .map(
      ({ body, ...request }) =>
        JSON.stringify(request) + Buffer.from(body ?? "", "base64").toString("latin1"),
    )
    .join("\n");
  expect(wire).toContain(env.AWS_ACCESS_KEY);
  expect(words.filter((word) => wire.includes(word))).toEqual([]);
});

test("a file of the user's that holds one is not sent", async () => {
  const own = await createProject(env);
  await own.write("notes.txt", `token: ${secrets.HF_TOKEN}\n`);
  const trainer = join(import.meta.dirname, "../trainer");
  const user = { folder: own.folder, paths: ["notes.txt"] };
  await expect(
    makeBundle({ trainer, user, secrets: Object.values(secrets) }),
  ).rejects.toMatchObject({
    code: "E_BUNDLE_SECRET",
    details: ["notes.txt:1  a token or key that you have set"],
  });
  await own.remove();
});
