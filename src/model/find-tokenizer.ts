import { existsSync } from "node:fs";
import { mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { isMoxiError, MoxiError, systemCode } from "../base/errors.ts";
import { writeFileAtomic } from "../base/files.ts";
import type { Host } from "../base/host.ts";
import { resolvePath } from "../base/paths.ts";
import { toyModel } from "../run/recipe.ts";
import { resolveModel } from "./resolve.ts";
import type { ModelOptions, ResolvedModel } from "./resolve.ts";
import { readTokenizer, tokenizerFileNames } from "./tokenizer-files.ts";
import type { ModelTokenizer } from "./tokenizer.ts";

/**
 * The tokenizer of a base model: of a folder, even without its weights; of the hub, from the caches
 * of this machine where they have it, else loaded into Moxi's. Null for the toy, which has none
 * before it is trained.
 *
 * @throws MoxiError as resolveModel does, and E_MODEL_UNSUPPORTED
 */
export async function findTokenizer(
  options: ModelOptions & { readonly host: Host },
): Promise<ModelTokenizer | null> {
  const { id, baseFolder, home } = options;
  if (id === toyModel) return null;
  const path = resolvePath(id, baseFolder, home);
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory() === true && existsSync(join(path, "tokenizer.json"))) {
    return readTokenizer(path, id);
  }
  return tokenizerOf(options, await resolveModel(options));
}

/** The same of a model that was looked for before. @throws MoxiError E_MODEL_UNSUPPORTED, E_NETWORK */
export async function tokenizerOf(
  options: ModelOptions & { readonly host: Host },
  { folder, revision }: Pick<ResolvedModel, "folder" | "revision">,
): Promise<ModelTokenizer> {
  return readTokenizer(folder ?? (await fetchFiles(options, revision)), options.id);
}

/** Loads what tells of tokens; what a commit has never changes. */
async function fetchFiles(
  options: ModelOptions & { readonly host: Host },
  commit: string | null,
): Promise<string> {
  const { id, revision, home, env, hubUrl, host } = options;
  const at = commit ?? revision ?? "main";
  const cache = join(env["XDG_CACHE_HOME"] || join(home, ".cache"), "moxi", "tokenizers");
  const folder = join(cache, id.replaceAll("/", "--"), encodeURIComponent(at));
  const whole = join(folder, ".whole");
  if (commit !== null && existsSync(whole)) return folder;
  const [{ downloadFile }, { hubFetch }] = await Promise.all([
    import("@huggingface/hub"),
    import("./hub.ts"),
  ]);
  const task = { type: "task", id: "tokenizer" } as const;
  host.notify({ ...task, state: "started", text: `loading the tokenizer of ${id}` });
  await mkdir(folder, { recursive: true });
  const get = hubFetch({ timeoutMs: 120_000, ...options });
  for (const path of tokenizerFileNames) {
    try {
      const file = await downloadFile({
        repo: id,
        path,
        revision: at,
        hubUrl,
        fetch: get,
        xet: false,
      });
      if (file !== null) await writeFileAtomic(join(folder, path), await file.text());
    } catch (error) {
      if (!isMoxiError(error)) throw unlikeAHub(hubUrl, error);
      // Told by the hub so: this model has no such file.
      if (error.code !== "E_MODEL_UNSUPPORTED") throw error;
    }
  }
  await writeFileAtomic(whole, "");
  host.notify({ ...task, state: "done", text: `the tokenizer of ${id} is in the cache` });
  return folder;
}

/** What the hub client throws of answers that it cannot read; the disk's errors stay what they are. */
function unlikeAHub(hubUrl: string, error: unknown): unknown {
  if (systemCode(error) !== undefined) return error;
  return new MoxiError("E_NETWORK", `${hubUrl} does not answer as a model hub does`, {
    hint: "check HF_ENDPOINT",
    cause: error,
  });
}
