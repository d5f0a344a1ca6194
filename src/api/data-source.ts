import { createHash } from "node:crypto";
import { join } from "node:path";
import { MoxiError } from "../base/errors.ts";
import { printable } from "../base/format.ts";
import type { LoadedConfig } from "../config/loaded.ts";
import { isHidden } from "../storage/hidden.ts";
import { NamesApart, safePath } from "../storage/names.ts";
import type { Context } from "./context.ts";

/**
 * The dataset as a path on this machine: what lies on S3 or on the hub is fetched first, below
 * `.moxi/data`, and read like any other file.
 *
 * @throws MoxiError E_DATASET_MISSING, E_CONFIG_INVALID; and what S3 or the hub answers
 */
export async function localDataset(
  context: Context,
  loaded: LoadedConfig,
  path: string,
): Promise<string> {
  const folder = join(loaded.folder, ".moxi", "data");
  if (path.startsWith("hf://")) {
    const { fetchHubDataset, hubDataset } = await import("../dataset/hub.ts");
    const dataset = hubDataset(path);
    if (dataset === undefined) throw unreadable(path, "hf://datasets/ORG/NAME[@REVISION][/PATH]");
    return fetchHubDataset(dataset, {
      hubUrl: loaded.hubUrl,
      token: loaded.secrets.huggingFaceToken,
      fetch: context.fetch,
      folder: join(folder, "hub"),
      host: context.host,
    });
  }
  if (!path.startsWith("s3://")) return path;
  const match = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])\/(.+)$/.exec(path);
  if (match === null) throw unreadable(path, "s3://BUCKET/KEY");
  const [, name, key] = match as unknown as [string, string, string];
  const [{ openAws }, { download }] = await Promise.all([
    import("../aws/aws.ts"),
    import("../storage/download.ts"),
  ]);
  const { home, host, clock } = context;
  const aws = await openAws({ env: loaded.env, home, host });
  try {
    const place = createHash("sha256").update(path).digest("hex").slice(0, 16);
    const bucket = { name };
    const s3 = await aws.s3();
    const base = key.replace(/\/+$/, "");
    const listed = await s3.list(bucket, base);
    const objects = listed.filter(
      (object) => object.key === base || object.key.startsWith(`${base}/`),
    );
    if (objects.length === 0) {
      throw new MoxiError("E_DATASET_MISSING", `there is no dataset at ${printable(path)}`, {
        hint: "look for a mistyped name: aws s3 ls shows what is there",
      });
    }
    const top = join(folder, "s3", place);
    const above = base.lastIndexOf("/") + 1;
    const apart = new NamesApart();
    const files = objects
      .filter((object) => !object.key.endsWith("/") && !isHidden(object.key))
      .map((object) => {
        const name = object.key.slice(above);
        apart.add(name);
        return { ...object, file: safePath(top, name) };
      });
    await download(aws, files, { bucket, host, clock });
    return safePath(top, base.slice(above));
  } finally {
    aws.close();
  }
}

function unreadable(path: string, form: string): MoxiError {
  return new MoxiError("E_CONFIG_INVALID", `the dataset ${printable(path)} is no such address`, {
    hint: `write ${form}`,
    place: { field: "dataset" },
  });
}
