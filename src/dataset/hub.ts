import { createWriteStream } from "node:fs";
import { mkdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { datasetInfo, downloadFile, HubApiError, listFiles } from "@huggingface/hub";
import { MoxiError } from "../base/errors.ts";
import { formatBytes, printable, printableName } from "../base/format.ts";
import type { Host } from "../base/host.ts";
import { rowsEnding } from "./read/files.ts";

/** A dataset of the hub, or a folder or a file of it. */
export interface HubDataset {
  readonly name: string;
  readonly revision?: string;
  readonly path?: string;
}

export interface HubOptions {
  readonly hubUrl: string;
  readonly token?: string | undefined;
  readonly fetch: typeof fetch;
  /** Datasets lie in here, each in a folder named by its commit. */
  readonly folder: string;
  readonly host: Host;
}

/** Reads `hf://datasets/ORG/NAME[@REVISION][/PATH]`; undefined for anything else. */
export function hubDataset(text: string): HubDataset | undefined {
  const match = /^hf:\/\/datasets\/([\w.-]+\/[\w.-]+)(?:@([^/]+))?(?:\/(.+))?$/.exec(text);
  if (match === null) return undefined;
  const [, name, revision, path] = match;
  return {
    name: name!,
    ...(revision === undefined ? {} : { revision: decodeURIComponent(revision) }),
    ...(path === undefined ? {} : { path: path.replace(/\/$/, "") }),
  };
}

/**
 * Fetches the files of rows of a dataset of the hub, at one commit; what is there already stays.
 *
 * @returns the folder or the file that holds them
 * @throws MoxiError E_DATASET_MISSING, E_MODEL_GATED, E_NETWORK
 */
export async function fetchHubDataset(dataset: HubDataset, options: HubOptions): Promise<string> {
  const { name, revision, path } = dataset;
  const { hubUrl, token, host } = options;
  const shared = {
    hubUrl,
    fetch: options.fetch,
    ...(token === undefined ? {} : { accessToken: token }),
  };
  const repo = { type: "dataset", name } as const;
  try {
    const { sha } = await datasetInfo({
      name,
      ...shared,
      additionalFields: ["sha"],
      ...(revision === undefined ? {} : { revision }),
    });
    if (!/^[0-9a-f]{40}$/.test(sha)) throw new TypeError("a commit that is none");
    const folder = join(options.folder, `${name.replace("/", "--")}@${sha.slice(0, 12)}`);
    let files = 0;
    for await (const entry of listFiles({ repo, recursive: true, revision: sha, ...shared })) {
      const wanted = path === undefined || entry.path === path || entry.path.startsWith(`${path}/`);
      if (entry.type !== "file" || !wanted || !rowsEnding.test(entry.path)) continue;
      files += 1;
      const file = join(folder, safe(entry.path));
      const known = await stat(file).catch(() => undefined);
      if (known?.size === entry.size) continue;
      const text = `fetching ${printableName(entry.path)} (${formatBytes(entry.size)})`;
      host.notify({ type: "task", id: "dataset", state: "progress", text });
      const blob = await downloadFile({ repo, path: entry.path, revision: sha, ...shared });
      if (blob === null) throw new TypeError("a listed file that is not there");
      await mkdir(dirname(file), { recursive: true });
      const part = `${file}.part`;
      try {
        await pipeline(Readable.fromWeb(blob.stream() as never), createWriteStream(part));
        await rename(part, file);
      } finally {
        await rm(part, { force: true });
      }
    }
    if (files === 0) {
      throw new MoxiError(
        "E_DATASET_MISSING",
        `${name} has no file of rows${path === undefined ? "" : ` at ${printable(path)}`}`,
        {
          hint: `see ${hubUrl}/datasets/${name}/tree/main`,
        },
      );
    }
    return path === undefined ? folder : join(folder, safe(path));
  } catch (error) {
    throw translated(error, dataset, options);
  }
}

/** A path of the hub inside our folder. */
function safe(path: string): string {
  const parts = path.split("/");
  if (!parts.some((part) => part === "" || part === "." || part === ".." || /[\\\0]/.test(part)))
    return path;
  throw new TypeError("a path that leads elsewhere");
}

function translated(error: unknown, { name }: HubDataset, { hubUrl, token }: HubOptions): unknown {
  if (error instanceof MoxiError) return error;
  const status = error instanceof HubApiError ? error.statusCode : 0;
  if (status === 404 || (status === 401 && token === undefined)) {
    return new MoxiError("E_DATASET_MISSING", `${hubUrl} has no dataset ${printable(name)}`, {
      hint: `check the id and the revision; a private or gated dataset needs HF_TOKEN`,
      cause: error,
    });
  }
  if (status === 401 || status === 403) {
    return new MoxiError(
      "E_MODEL_GATED",
      `your Hugging Face token may not read ${printable(name)}`,
      {
        hint: `accept its terms on ${hubUrl}/datasets/${printable(name)} with the token's account`,
        cause: error,
      },
    );
  }
  return new MoxiError("E_NETWORK", `the hub ${hubUrl} does not answer as a hub does`, {
    hint: "check the network and HF_ENDPOINT, then run the same command again",
    cause: error,
  });
}
