// One transfer by the engine, as a process of its own, so that it can be measured and killed:
//   node test/s3/transfer.ts up FOLDER-OR-FILE s3://bucket/prefix/
//   node test/s3/transfer.ts down s3://bucket/prefix/ FOLDER
// MOXI_TEST_THREADS and MOXI_TEST_PART_BYTES set what users cannot.
import { readdirSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { basename, join, relative } from "node:path";
import { openAws } from "../../src/aws/aws.ts";
import { toMoxiError } from "../../src/base/errors.ts";
import { silentHost } from "../../src/base/host.ts";
import { downloadPrefix } from "../../src/storage/download.ts";
import { upload } from "../../src/storage/upload.ts";

const [direction, source = "", target = ""] = process.argv.slice(2);
const [, name = "", prefix = ""] = /^s3:\/\/([^/]+)\/(.*)$/.exec(
  direction === "up" ? target : source,
)!;
const number = (variable: string) => {
  const value = process.env[variable];
  return value === undefined ? undefined : Number(value);
};
const threads = number("MOXI_TEST_THREADS");
const partBytes = number("MOXI_TEST_PART_BYTES");
const options = {
  host: silentHost,
  clock: { now: () => new Date() },
  bucket: { name },
  ...(threads === undefined ? {} : { threads }),
  ...(partBytes === undefined ? {} : { partBytes }),
};

try {
  const aws = await openAws({ env: process.env, home: homedir(), host: silentHost });
  if (direction === "up") {
    const files = statSync(source).isDirectory()
      ? readdirSync(source, { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile())
          .map((entry) => join(entry.parentPath, entry.name))
      : [source];
    const keyOf = (path: string) =>
      `${prefix}${path === source ? basename(path) : relative(source, path)}`;
    const list = files.map((path) => ({ path, key: keyOf(path) }));
    process.stdout.write(JSON.stringify(await upload(aws, list, { ...options, ifAbsent: false })));
  } else {
    const done = await downloadPrefix(aws, { prefix, folder: target }, options);
    process.stdout.write(JSON.stringify(done));
  }
  aws.close();
} catch (error) {
  const known = toMoxiError(error);
  process.stderr.write(`${JSON.stringify(known.toJSON())}\n`);
  process.exitCode = known.exitCode;
}
