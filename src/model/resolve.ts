import { existsSync } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { MoxiError, isMoxiError } from "../base/errors.ts";
import { nearestName, printable } from "../base/format.ts";
import { looksLikePath, resolvePath } from "../base/paths.ts";
import { toyModel } from "../run/recipe.ts";
import { findCached } from "./cache.ts";
import { checkFolder, fingerprintFolder } from "./folder.ts";

/** A base model, known to exist, to be readable by this user and to be trainable by Moxi. */
export interface ResolvedModel {
  /** As the user wrote it. */
  readonly id: string;
  readonly kind: "toy" | "folder" | "hub";
  /** The commit of a hub model; `null` where there is none, or the hub did not tell. */
  readonly revision: string | null;
  /** SHA-256 over the files of a local folder. */
  readonly fingerprint: string | null;
  /** Where the files already are on this machine, absolute. */
  readonly folder: string | null;
  readonly license?: string;
  readonly parameters?: number;
  /** Its licence has to be accepted on the hub. */
  readonly gated: boolean;
  readonly warnings: readonly string[];
}

export interface ModelOptions {
  /** A Hugging Face id, a local folder, or `moxi:tiny`. */
  readonly id: string;
  /** Commit, branch or tag of a hub model. Default: its main branch. */
  readonly revision?: string | undefined;
  /** Where a relative folder starts. */
  readonly baseFolder: string;
  readonly token?: string | undefined;
  /** The hub's address, without a slash at the end. */
  readonly hubUrl: string;
  readonly fetch: typeof fetch;
  readonly home: string;
  /** Read for HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE and their older names. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** How long the hub may take for one answer. Default: 10,000. */
  readonly timeoutMs?: number;
}

/**
 * Finds the base model and checks, before anything starts, what would otherwise fail on paid time:
 * that it exists, may be read with this token, is complete, and is a causal language model.
 *
 * @throws MoxiError E_MODEL_NOT_FOUND, E_MODEL_UNSUPPORTED, E_MODEL_GATED, E_MODEL_TOKEN, E_NETWORK
 */
export async function resolveModel(options: ModelOptions): Promise<ResolvedModel> {
  const { id } = options;
  const nothing = { id, revision: null, fingerprint: null, folder: null, gated: false };
  if (id === toyModel) return { ...nothing, kind: "toy", warnings: [] };

  const path = resolvePath(id, options.baseFolder, options.home);
  const found = await stat(path).catch(() => undefined);
  // As in transformers, a folder goes before the hub; but one of the same name by chance does not.
  const isModel = looksLikePath(id) || existsSync(join(path, "config.json"));
  if (found?.isDirectory() && isModel) {
    await checkFolder(path, id);
    const fingerprint = await fingerprintFolder(path);
    const warnings = looksLikePath(id)
      ? []
      : [`${id} is read from the folder ${path}, not from the hub`];
    return { ...nothing, kind: "folder", folder: path, fingerprint, warnings };
  }
  if (looksLikePath(id)) {
    throw found === undefined
      ? new MoxiError("E_MODEL_NOT_FOUND", `there is no model folder ${printable(path)}`, {
          hint: "check the path; a model of the hub is written without ./, as org/name",
          place: { field: "model" },
        })
      : new MoxiError("E_MODEL_UNSUPPORTED", `the model ${printable(path)} is a file`, {
          hint: "give the folder that holds config.json, the weights and the tokenizer",
          place: { field: "model" },
        });
  }
  checkId(id);
  return { ...nothing, kind: "hub", ...(await fromHub(options)) };
}

type HubPart = Pick<ResolvedModel, "revision" | "gated" | "warnings"> & Partial<ResolvedModel>;

async function fromHub(options: ModelOptions): Promise<HubPart> {
  const { id, env, hubUrl } = options;
  const offline = ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].find((name) =>
    /^(?:1|on|yes|true)$/i.test(env[name] ?? ""),
  );
  if (offline !== undefined) {
    const cached = await fromCache(options, `${offline} is set`);
    if (cached !== undefined) return cached;
    throw new MoxiError("E_MODEL_NOT_FOUND", `${offline} is set, and ${id} is not in the cache`, {
      hint: `unset ${offline} to ask the hub`,
      place: { field: "model" },
    });
  }
  try {
    // Here, because a toy or a folder needs no client of the hub.
    const { askHub } = await import("./hub.ts");
    return await askHub(options);
  } catch (error) {
    if (!isMoxiError(error) || error.code !== "E_NETWORK") throw error;
    const cached = await fromCache(options, `${hubUrl} does not answer`);
    if (cached === undefined) throw error;
    return cached;
  }
}

async function fromCache(options: ModelOptions, why: string): Promise<HubPart | undefined> {
  const cached = await findCached(options);
  if (cached === undefined) return undefined;
  const warnings = [`${why}: ${options.id} is read from ${cached.folder}`];
  return { ...cached, gated: false, warnings };
}

/** Refuses what no hub can have, before it becomes part of an address. */
function checkId(id: string): void {
  if (/^(?![.-])[\w.-]{1,96}(?:\/(?![.-])[\w.-]{1,96})?$/.test(id) && !id.includes("..")) return;
  const page = /^https?:\/\/[^/]+\/([\w.-]+\/[\w.-]+)\/?$/.exec(id);
  const meant = page?.[1] ?? nearestName(id, [toyModel]);
  throw new MoxiError("E_MODEL_NOT_FOUND", `"${printable(id).slice(0, 100)}" is not a model`, {
    hint: meant
      ? `did you mean ${meant}?`
      : `write a Hugging Face id (org/name), a folder (./path), or ${toyModel}`,
    place: { field: "model" },
  });
}
