import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { isRecord } from "../base/json.ts";

interface Named {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string;
  /** From the config. */
  readonly index?: string | undefined;
}

/**
 * The package indexes that the user has named, the first to ask first: in the config, in uv's
 * variables and files, in pip's (which `installerEnvironment` has put into the environment). None
 * stands in our code.
 */
export async function namedIndexes({ env, home, index }: Named): Promise<readonly string[]> {
  const files = env["UV_CONFIG_FILE"]
    ? [env["UV_CONFIG_FILE"]]
    : [join(env["XDG_CONFIG_HOME"] || join(home, ".config"), "uv/uv.toml"), "/etc/uv/uv.toml"];
  const extra = [env["UV_INDEX"] ?? env["UV_EXTRA_INDEX_URL"] ?? env["PIP_EXTRA_INDEX_URL"]];
  const main = index ?? env["UV_DEFAULT_INDEX"] ?? env["UV_INDEX_URL"];
  const found = [...extra.flatMap((value) => value?.split(/\s+/) ?? []), main].map(withoutName);
  for (const file of main === undefined ? files : []) found.push(...(await uvIndexes(file)));
  if (main === undefined) found.push(env["PIP_INDEX_URL"]);
  const urls = found.filter((url) => url !== undefined && /^https?:\/\//.test(url)) as string[];
  return [...new Set(urls.map((url) => url.replace(/\/*$/, "/")))];
}

/** uv lets an index have a name: "corp=https://..." */
function withoutName(value: string | undefined): string | undefined {
  return value?.replace(/^[\w.-]+=(?=https?:)/, "");
}

async function uvIndexes(file: string): Promise<string[]> {
  const text = await readFile(file, "utf8").catch(() => "");
  if (text === "") return [];
  const { parse } = await import("smol-toml");
  let settings: unknown;
  try {
    settings = parse(text);
  } catch {
    return []; // uv itself will complain of it.
  }
  if (!isRecord(settings)) return [];
  const tables = [settings, settings["pip"]].filter(isRecord);
  const listed = tables
    .flatMap((table) => (Array.isArray(table["index"]) ? (table["index"] as unknown[]) : []))
    .filter(isRecord)
    // An explicit index is for the packages that a project pins to it.
    .filter((entry) => entry["explicit"] !== true)
    .toSorted((a, b) => Number(a["default"] === true) - Number(b["default"] === true));
  const urls = [
    ...listed.map((entry) => entry["url"]),
    ...tables.map((table) => table["index-url"]),
  ];
  return urls.filter((url) => typeof url === "string");
}
