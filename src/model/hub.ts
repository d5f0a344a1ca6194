import { modelInfo } from "@huggingface/hub";
import { MoxiError, isMoxiError } from "../base/errors.ts";
import { printable } from "../base/format.ts";
import { checkArchitecture, checkParts } from "./parts.ts";

export interface HubQuery {
  readonly id: string;
  readonly revision?: string | undefined;
  readonly token?: string | undefined;
  readonly hubUrl: string;
  readonly fetch: typeof fetch;
  readonly timeoutMs?: number;
}

export interface HubModel {
  readonly revision: string | null;
  readonly gated: boolean;
  readonly license?: string;
  readonly parameters?: number;
  readonly warnings: readonly string[];
}

/**
 * Asks the hub for a model and reads its config.json: a gated model shows its page to everybody,
 * and only its files tell whether this token may have them.
 */
export async function askHub(query: HubQuery): Promise<HubModel> {
  const { id, hubUrl, revision } = query;
  const get = hubFetch(query);
  try {
    const info = await modelInfo({
      name: id,
      hubUrl,
      fetch: get,
      additionalFields: ["sha", "safetensors", "cardData", "filePaths"],
      ...(revision !== undefined && { revision }),
    });
    const commit = /^[0-9a-f]{40}$/.test(info.sha) ? info.sha : null;
    // A hub that does not list files is believed; config.json below is read in any case.
    if (info.filePaths.length > 0) checkParts(id, new Set(info.filePaths));
    const at = encodeURIComponent(commit ?? revision ?? "main");
    const config = await get(`${hubUrl}/${id}/resolve/${at}/config.json`);
    checkArchitecture(id, await config.json());

    const license = info.cardData?.license;
    const parameters = info.safetensors?.total;
    return {
      revision: commit,
      gated: info.gated === "auto" || info.gated === "manual",
      ...(typeof license === "string" && { license: printable(license).slice(0, 60) }),
      ...(typeof parameters === "number" && { parameters }),
      warnings: commit === null ? [`${hubUrl} does not tell the commit of ${id}`] : [],
    };
  } catch (error) {
    if (isMoxiError(error)) throw error;
    throw new MoxiError("E_NETWORK", `${hubUrl} does not answer as a model hub does`, {
      hint: "check HF_ENDPOINT, and whether a proxy or a login page stands in between",
      cause: error,
    });
  }
}

/** A fetch that carries the token, waits only so long, and turns every refusal into our own error. */
export function hubFetch(query: HubQuery): typeof fetch {
  const { token, hubUrl, timeoutMs = 10_000 } = query;
  // Node's own error for such a header would show the token.
  if (token !== undefined && !/^[\x21-\x7e]+$/.test(token)) {
    throw new MoxiError(
      "E_MODEL_TOKEN",
      "the Hugging Face token contains characters that none has",
      {
        hint: "copy it again into HF_TOKEN",
      },
    );
  }
  return async (input, init) => {
    const headers = new Headers(init?.headers);
    if (token !== undefined) headers.set("authorization", `Bearer ${token}`);
    let response: Response;
    try {
      const signal = AbortSignal.timeout(timeoutMs);
      response = await query.fetch(input, { ...init, headers, signal });
    } catch (error) {
      throw new MoxiError("E_NETWORK", `the model hub ${hubUrl} does not answer`, {
        hint: "check the network and HF_ENDPOINT, or give a model folder on this machine",
        cause: error,
      });
    }
    if (response.ok) return response;
    await response.body?.cancel();
    throw refusal(response, query);
  };
}

/** What a refusal means. The hub tells it in X-Error-Code; a status alone is ambiguous. */
function refusal(response: Response, { id, revision, token, hubUrl }: HubQuery): MoxiError {
  const { status } = response;
  const code = response.headers.get("x-error-code");
  const page = `${hubUrl}/${id}`;
  const place = { field: "model" };
  const at = revision === undefined ? "" : ` at revision ${printable(revision)}`;

  if (status === 404 && code === "EntryNotFound") {
    return new MoxiError("E_MODEL_UNSUPPORTED", `${id} has no config.json${at}`, {
      hint: "give a base model in the Hugging Face layout, not an adapter or GGUF files",
      place,
    });
  }
  if (code === "RevisionNotFound") {
    return new MoxiError(
      "E_MODEL_NOT_FOUND",
      `${id} has no revision ${printable(revision ?? "")}`,
      {
        hint: `its branches, tags and commits: ${page}/tree/main`,
        place: { field: "revision" },
      },
    );
  }
  if (status === 404 || code === "RepoNotFound") {
    const hidden = token === undefined ? "a private model needs HF_TOKEN" : "or it is private";
    return new MoxiError("E_MODEL_NOT_FOUND", `${hubUrl} has no model ${id}${at}`, {
      hint: `check the id; ${hidden}`,
      place,
    });
  }
  if (status === 401 && token !== undefined && code !== "GatedRepo") {
    return new MoxiError("E_MODEL_TOKEN", `${hubUrl} refuses your Hugging Face token`, {
      hint: `make a new one on ${hubUrl}/settings/tokens and put it into HF_TOKEN`,
    });
  }
  if (status === 401 || status === 403) {
    return token === undefined
      ? new MoxiError("E_MODEL_GATED", `${id} is gated or private: ${hubUrl} wants a token`, {
          hint: `accept its licence on ${page}, then set HF_TOKEN (or check the id)`,
          place,
        })
      : new MoxiError("E_MODEL_GATED", `your Hugging Face token may not read ${id}`, {
          hint: `accept its licence on ${page} with the token's account; the token needs read access to gated models`,
          place,
        });
  }
  return new MoxiError("E_NETWORK", `the model hub ${hubUrl} answers with status ${status}`, {
    hint: status === 429 ? "wait a few minutes; HF_TOKEN raises the limit" : "try again later",
  });
}
