import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createContext } from "../src/api/context.ts";
import { load } from "../src/api/config.ts";
import { planAt } from "../src/api/plan-run.ts";
import { openAws } from "../src/aws/aws.ts";
import type { Aws } from "../src/aws/aws.ts";
import { silentHost } from "../src/base/host.ts";
import { sha256 } from "../src/base/hash.ts";
import { startIndex } from "../src/bundle/fake-index.ts";
import type { FakeIndex } from "../src/bundle/fake-index.ts";
import { findImageLock } from "../src/bundle/image-lock.ts";
import type { ImageLock } from "../src/bundle/image-lock.ts";
import { askPython } from "../src/bundle/this-python.ts";
import { fetchWheels } from "../src/bundle/wheels.ts";
import { ensurePython } from "../src/python/ensure.ts";
import type { RunEvent } from "../src/run/event.ts";
import { downloadPrefix } from "../src/storage/download.ts";
import { createRun, newAttempt, runsFolder } from "../src/store/runs.ts";
import { follow } from "../src/targets/follow.ts";
import { createSageMakerTarget } from "../src/targets/sagemaker/index.ts";
import { setUpAccount } from "./cloud/account.ts";
import type { SetUp } from "./cloud/account.ts";
import { rehearsalImage, startCloud } from "./cloud/start.ts";
import type { Cloud } from "./cloud/start.ts";
import { exampleRows } from "./project.ts";

// The test cloud's image is one entry more among the images: for this machine's Python, with a lock
// of its own. Its only package is one of the image's, under a version that tells the two apart.

const trainerFolder = join(import.meta.dirname, "../trainer");
const run = promisify(execFile);
let folder: string;
let python: string;
let cloud: Cloud;
let account: SetUp;
let aws: Aws;
let index: FakeIndex;
let lock: ImageLock;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "moxi-image-"));
  const lockFile = join(trainerFolder, "locks/local.txt");
  ({ python } = await ensurePython({
    env: process.env,
    home: homedir(),
    lockFile,
    host: silentHost,
  }));
  cloud = await startCloud(python);
  account = await setUpAccount(cloud);
  aws = await openAws({ env: account.env, home: folder, host: silentHost });
  lock = await lockImage("1");
});
afterAll(async () => {
  aws.close();
  account.account.close();
  await cloud.stop();
  await index.close();
  await rm(folder, { recursive: true, force: true });
});

/** Locks the image of a tag, and serves what is locked from an index on this machine. */
async function lockImage(tag: string): Promise<ImageLock> {
  const repack = join(import.meta.dirname, "cloud/repack.py");
  const { stdout } = await run(python, [repack, "accelerate", "locked", folder]);
  const wheel = JSON.parse(stdout) as { name: string; version: string; file: string };
  const data = await readFile(join(folder, wheel.file));
  index = await startIndex([{ file: wheel.file, data }]);
  const here = await askPython(python, process.env);
  const made: ImageLock = {
    formatVersion: 1,
    image: tag,
    python: here.version.split(".").slice(0, 2).join("."),
    torch: here.torch!,
    platforms: ["manylinux_2_28_x86_64"],
    wheels: [{ ...wheel, sha256: sha256(data), size: data.length }],
  };
  await mkdir(join(folder, "locks"));
  await writeFile(join(folder, "locks", `${tag}.json`), JSON.stringify(made));
  return made;
}

test("a job installs the locked wheels over its image's packages, and trains with them", async () => {
  await writeFile(join(folder, "rows.json"), JSON.stringify(exampleRows(10)));
  const settings = {
    dataset: "rows.json",
    target: "sagemaker",
    split: { evalFraction: 0.2 },
    epochs: 1,
    effectiveBatch: 4,
    generationTokens: 4,
  };
  await writeFile(join(folder, "moxi.config.json"), JSON.stringify(settings));
  const context = createContext({ env: account.env, cwd: folder, home: folder });
  const { clock } = context;
  const target = createSageMakerTarget({
    aws,
    host: silentHost,
    clock,
    wishes: {
      bucket: account.bucket,
      roleArn: account.roleArn,
      sagemaker: { image: rehearsalImage },
    },
    sending: {
      async wheels(tag) {
        const found = await findImageLock(join(folder, "locks"), tag);
        return fetchWheels({
          lock: found!,
          cache: join(folder, "cache"),
          env: {
            PATH: process.env["PATH"],
            PIP_INDEX_URL: index.url,
            PIP_CONFIG_FILE: "/dev/null",
          },
          home: folder,
          platform: process.platform,
          host: silentHost,
          fetch,
          sleep: (milliseconds) => clock.sleep(milliseconds),
        });
      },
      trainerFolder,
      cache: join(folder, "cache"),
      secrets: [],
    },
    pollMs: 100,
    drainMs: 3000,
  });
  const loaded = await load(context);
  const data = join(folder, ".moxi/data");
  const { plan, submission } = await planAt(context, loaded, {
    place: target,
    saved: undefined,
    data,
  });
  const name = "moxi-20261123-141207-calm-otter-7f3k";
  const attempt = newAttempt(name, 1, "sagemaker", clock.now());
  const record = await createRun(runsFolder(folder), name, plan, attempt);
  const ref = { run: name, folder: record.folder, plan, attempt };
  await target.submit({ ...ref, ...submission });

  const events: RunEvent[] = [];
  const log: string[] = [];
  for await (const news of follow(target, [ref], { clock })) {
    events.push(...news.events);
    log.push(...news.logs.map(({ text }) => text));
  }
  const of = (type: RunEvent["type"]) => events.filter((event) => event.type === type);
  expect(of("end"), log.join("\n")).toMatchObject([{ outcome: "succeeded" }]);
  expect(of("step")).toHaveLength(2);
  const [wheel] = lock.wheels;
  expect(log.join("\n")).toContain(`Successfully installed accelerate-${wheel!.version}`);

  const { artifact } = await target.outputs(ref);
  const prefix = artifact.slice(`s3://${account.bucket}/`.length);
  const model = join(folder, "model");
  const bucket = { name: account.bucket };
  await downloadPrefix(aws, { prefix, folder: model }, { bucket, host: silentHost, clock });
  const { versions } = JSON.parse(await readFile(join(model, "moxi.run.json"), "utf8"));
  expect(versions).toMatchObject({ accelerate: wheel!.version, torch: lock.torch });
}, 300_000);
