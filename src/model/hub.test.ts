import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { IncomingMessage, Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { MoxiError } from "../base/errors.ts";
import { resolveModel } from "./resolve.ts";
import type { ModelOptions } from "./resolve.ts";

const sha = "0123456789abcdef0123456789abcdef01234567";
const token = "hf_SECRETSECRET";

interface Answer {
  readonly status?: number;
  readonly code?: string;
  readonly body?: unknown;
}

/** What the hub says of org/name; a test changes what it is about. "hang" never answers. */
interface Hub {
  info: Answer | "hang";
  config: Answer | "hang";
}

const named = (rfilename: string) => ({ rfilename });
const open: Hub = {
  info: {
    body: {
      gated: false,
      sha,
      cardData: { license: "apache-2.0" },
      safetensors: { total: 134515008 },
      siblings: ["config.json", "model.safetensors", "tokenizer.json"].map(named),
    },
  },
  config: { body: { architectures: ["LlamaForCausalLM"] } },
};
const info = (changes: object): Answer => ({
  body: { ...((open.info as Answer).body as object), ...changes },
});
const siblings = (...names: string[]) => info({ siblings: names.map(named) });

let hub: Hub;
let requests: IncomingMessage[];
let server: Server;
let hubUrl: string;
let home: string;
beforeEach(async () => {
  hub = { ...open };
  requests = [];
  home = await mkdtemp(join(tmpdir(), "moxi-hub-"));
  server = createServer((request, response) => {
    requests.push(request);
    const answer = request.url?.startsWith("/api/") ? hub.info : hub.config;
    if (answer === "hang") return;
    const { status = 200, code, body = { error: "refused" } } = answer;
    const isText = typeof body === "string";
    response.writeHead(status, {
      "content-type": isText ? "text/html" : "application/json",
      ...(code && { "x-error-code": code }),
    });
    response.end(isText ? body : JSON.stringify(body));
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  hubUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((done) => server.close(done));
  await rm(home, { recursive: true });
});

const resolve = (options: Partial<ModelOptions> = {}) =>
  resolveModel({ id: "org/name", baseFolder: home, hubUrl, fetch, home, env: {}, ...options });

async function failure(options: Partial<ModelOptions> = {}): Promise<MoxiError> {
  const error: unknown = await resolve(options).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof MoxiError)) throw new Error("it should have been refused");
  expect(inspect(error, { depth: 9, showHidden: true })).not.toContain("SECRET");
  return error;
}

describe("an open model", () => {
  test("is known by its commit", async () => {
    expect(await resolve()).toEqual({
      id: "org/name",
      kind: "hub",
      revision: sha,
      fingerprint: null,
      folder: null,
      license: "apache-2.0",
      parameters: 134515008,
      gated: false,
      warnings: [],
    });
    expect(requests.map(({ url }) => url?.split("?")[0])).toEqual([
      "/api/models/org/name/revision/HEAD",
      `/org/name/resolve/${sha}/config.json`,
    ]);
    expect(requests.map(({ headers }) => headers.authorization)).toEqual([undefined, undefined]);
  });

  test("a branch is asked for by its name", async () => {
    await resolve({ revision: "refs/pr/1" });
    expect(requests[0]!.url).toContain("/revision/refs%2Fpr%2F1?");
  });

  test("a mirror that tells neither commit nor files is believed, with a warning", async () => {
    hub.info = info({ sha: undefined, siblings: undefined, safetensors: undefined });
    const model = await resolve();
    expect(model.revision).toBeNull();
    expect(model.warnings).toEqual([`${hubUrl} does not tell the commit of org/name`]);
  });
});

describe("a gated model", () => {
  beforeEach(() => void (hub.info = info({ gated: "manual" })));

  test.each([401, 403])("without a token (%i)", async (status) => {
    hub.config = { status, code: "GatedRepo" };
    const error = await failure();
    expect(error).toMatchObject({ code: "E_MODEL_GATED", exitCode: 4 });
    expect(error.hint).toContain(`${hubUrl}/org/name`);
    expect(error.hint).toContain("HF_TOKEN");
  });

  test.each(["GatedRepo", undefined])("with a token that may not read it (%s)", async (code) => {
    hub.config = { status: 403, ...(code && { code }) };
    const error = await failure({ token });
    expect(error).toMatchObject({ code: "E_MODEL_GATED", exitCode: 4 });
    expect(error.message).toContain("may not read org/name");
  });

  test("with a token that may", async () => {
    expect(await resolve({ token })).toMatchObject({ gated: true, revision: sha });
    expect(requests.map(({ headers }) => headers.authorization)).toEqual([
      `Bearer ${token}`,
      `Bearer ${token}`,
    ]);
  });
});

describe("refusals", () => {
  test.each([401, 403])("a hub that answers %i to everything wants a token", async (status) => {
    hub.info = { status };
    expect(await failure()).toMatchObject({ code: "E_MODEL_GATED", exitCode: 4 });
  });

  test("a token that the hub refuses", async () => {
    hub.info = { status: 401 };
    const error = await failure({ token });
    expect(error).toMatchObject({ code: "E_MODEL_TOKEN", exitCode: 4 });
    expect(error.hint).toContain(`${hubUrl}/settings/tokens`);
  });

  test.each(["hf_SECRET\nnext", "hf_SECRETä"])("a token that is none: %j", async (wrong) => {
    expect(await failure({ token: wrong })).toMatchObject({ code: "E_MODEL_TOKEN" });
    expect(requests).toEqual([]);
  });

  test.each([
    [404, "RepoNotFound", undefined, "HF_TOKEN"],
    [401, "RepoNotFound", undefined, "HF_TOKEN"],
    [404, undefined, token, "private"],
  ])("a model that is not there (%i %s)", async (status, code, given, hint) => {
    hub.info = { status, ...(code && { code }) };
    const error = await failure({ token: given });
    expect(error).toMatchObject({ code: "E_MODEL_NOT_FOUND", exitCode: 2 });
    expect(error.hint).toContain(hint);
  });

  test("a revision that is not there", async () => {
    hub.info = { status: 404, code: "RevisionNotFound" };
    expect(await failure({ revision: "v9" })).toMatchObject({
      code: "E_MODEL_NOT_FOUND",
      message: "org/name has no revision v9",
      place: { field: "revision" },
    });
  });

  test.each([
    ["no config", "config", { status: 404, code: "EntryNotFound" }, "config.json"],
    ["BERT", "config", { body: { architectures: ["BertForMaskedLM"] } }, "BertForMaskedLM"],
    ["a decoder of BERT", "config", { body: { architectures: ["BertLMHeadModel"] } }, "causal"],
    [
      "T5",
      "config",
      { body: { architectures: ["T5ForCausalLM"], is_encoder_decoder: true } },
      "T5",
    ],
    ["4-bit", "config", { body: { quantization_config: { quant_method: "gptq" } } }, "gptq"],
    ["a list", "config", { body: [] }, "not an object"],
    ["GGUF", "info", siblings("config.json", "m.gguf"), "weights"],
    ["an adapter", "info", siblings("adapter_config.json", "tokenizer.json"), "adapter"],
    ["no tokenizer", "info", siblings("config.json", "model.safetensors"), "tokenizer"],
  ] as const)("a model that Moxi cannot train: %s", async (_, which, answer, message) => {
    hub[which] = answer;
    const error = await failure();
    expect(error).toMatchObject({ code: "E_MODEL_UNSUPPORTED", exitCode: 2 });
    expect(error.message).toContain(message);
  });

  test.each(["GPT2LMHeadModel", "Gemma3ForConditionalGeneration", "Qwen3ForCausalLM"])(
    "%s is a causal language model",
    async (name) => {
      hub.config = { body: { architectures: [name] } };
      expect((await resolve()).kind).toBe("hub");
    },
  );

  test.each(["a b", "a/b/c", "../up/there", "-x", "s3://bucket/x", "org/..", "x".repeat(97)])(
    "%s is no id and is asked of nobody",
    async (id) => {
      expect((await failure({ id })).code).toBe("E_MODEL_NOT_FOUND");
      expect(requests).toEqual([]);
    },
  );

  test("near misses are told", async () => {
    const hint = async (id: string) => (await failure({ id })).hint;
    expect(await hint("moxi:tinny")).toBe("did you mean moxi:tiny?");
    expect(await hint("https://huggingface.co/org/name")).toBe("did you mean org/name?");
  });
});

describe("a hub that cannot be reached", () => {
  const breakages: [string, () => Partial<ModelOptions>][] = [
    ["hangs", () => ((hub.info = "hang"), { timeoutMs: 30 })],
    ["hangs later", () => ((hub.config = "hang"), { timeoutMs: 30 })],
    ["is not there", () => ({ hubUrl: "http://127.0.0.1:9" })],
    ["is broken", () => ((hub.info = { status: 503 }), {})],
    ["is tired of us", () => ((hub.config = { status: 429 }), {})],
    ["is a login page", () => ((hub.info = { body: "<html>log in</html>" }), {})],
  ];

  test.each(breakages)("%s", async (_, breakIt) => {
    const options = breakIt();
    const error = await failure({ token, ...options });
    expect(error).toMatchObject({ code: "E_NETWORK", exitCode: 8 });
    expect(error.message).toContain(options.hubUrl ?? hubUrl);
    expect(error.hint).not.toBeUndefined();
  });

  const files = ["config.json", "model.safetensors", "tokenizer.json"];
  async function cache(folder: string, names = files): Promise<string> {
    const repository = join(folder, "models--org--name");
    const snapshot = join(repository, "snapshots", sha);
    await mkdir(snapshot, { recursive: true });
    await mkdir(join(repository, "refs"), { recursive: true });
    await writeFile(join(repository, "refs", "main"), sha);
    for (const name of names) await writeFile(join(snapshot, name), "{}");
    return snapshot;
  }

  test.each(breakages)("%s: the copy on this machine is taken, and told", async (_, breakIt) => {
    const folder = await cache(join(home, ".cache", "huggingface", "hub"));
    const model = await resolve(breakIt());
    expect(model).toMatchObject({ kind: "hub", revision: sha, fingerprint: null, folder });
    expect(model.warnings[0]).toMatch(/does not answer: org\/name is read from /);
  });

  test.each([
    ["HF_HUB_CACHE", "", ""],
    ["HUGGINGFACE_HUB_CACHE", "", ""],
    ["HF_HOME", "", "hub"],
    ["XDG_CACHE_HOME", "", "huggingface/hub"],
  ])("%s says where copies are", async (name, _, below) => {
    hub.info = { status: 500 };
    const folder = await cache(join(home, "elsewhere", below));
    expect(await resolve({ env: { [name]: join(home, "elsewhere") } })).toMatchObject({ folder });
  });

  test("a copy of another revision, or a torn one, is none", async () => {
    hub.info = { status: 500 };
    const folder = join(home, ".cache", "huggingface", "hub");
    await cache(folder);
    expect(await resolve({ revision: sha })).toMatchObject({ revision: sha });
    expect(await failure({ revision: "v2" })).toMatchObject({ code: "E_NETWORK" });
    expect(await failure({ revision: "../../../x" })).toMatchObject({ code: "E_NETWORK" });
    await rm(folder, { recursive: true });
    await cache(folder, ["config.json", "tokenizer.json"]);
    expect(await failure()).toMatchObject({ code: "E_NETWORK" });
  });

  test.each(["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])("%s asks nobody", async (name) => {
    const env = { [name]: "1" };
    expect(await failure({ env })).toMatchObject({ code: "E_MODEL_NOT_FOUND", exitCode: 2 });
    await cache(join(home, ".cache", "huggingface", "hub"));
    expect((await resolve({ env })).warnings[0]).toContain(`${name} is set`);
    expect(requests).toEqual([]);
    await resolve({ env: { [name]: "0" } });
    expect(requests).toHaveLength(2);
  });
});
