// One transfer by Moxi's engine, as a process of its own:
//   node bench/s3/transfer.ts up FOLDER-OR-FILE s3://bucket/prefix/
//   node bench/s3/transfer.ts down s3://bucket/prefix/ FOLDER
import { readdirSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { basename, join, relative } from "node:path";
import { openAws } from "../../src/aws/aws.ts";
import { silentHost } from "../../src/base/host.ts";
import { downloadPrefix } from "../../src/storage/download.ts";
import { upload } from "../../src/storage/upload.ts";

const [direction, source = "", target = ""] = process.argv.slice(2);
const remote = /^s3:\/\/([^/]+)\/(.*)$/.exec(direction === "up" ? target : source)!;
const bucket = { name: remote[1]! };
const prefix = remote[2]!;
const threads = process.env["MOXI_BENCH_THREADS"];
const aws = await openAws({ env: process.env, home: homedir(), host: silentHost });
const options = {
  host: silentHost,
  clock: { now: () => new Date() },
  bucket,
  ...(threads === undefined ? {} : { threads: Number(threads) }),
};
if (direction === "up") {
  const files = statSync(source).isDirectory()
    ? readdirSync(source, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name))
    : [source];
  const nameOf = (path: string) => (path === source ? basename(path) : relative(source, path));
  await upload(
    aws,
    files.map((path) => ({ path, key: `${prefix}${nameOf(path)}` })),
    { ...options, ifAbsent: false },
  );
} else {
  await downloadPrefix(aws, { prefix, folder: target }, options);
}
aws.close();
