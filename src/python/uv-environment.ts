import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";

type Env = Readonly<Record<string, string | undefined>>;

/** Settings of a user's own uv projects that would bend what the lock says. */
const notForUs = [
  "UV_BUILD_CONSTRAINT",
  "UV_CONSTRAINT",
  "UV_NO_VERIFY_HASHES",
  "UV_OVERRIDE",
  "UV_EXCLUDE",
  "UV_PYTHON",
  "UV_REQUIRE_HASHES",
  "UV_SYSTEM_PYTHON",
  "UV_TORCH_BACKEND",
  "UV_WORKING_DIR",
  "VIRTUAL_ENV",
  "PYTHONHOME",
  "PYTHONPATH",
];

/** pip's settings, their names in pip's environment, and what uv calls them. */
const indexSettings = [
  { pip: "index-url", pipEnv: "PIP_INDEX_URL", uvEnv: ["UV_DEFAULT_INDEX", "UV_INDEX_URL"] },
  {
    pip: "extra-index-url",
    pipEnv: "PIP_EXTRA_INDEX_URL",
    uvEnv: ["UV_INDEX", "UV_EXTRA_INDEX_URL"],
  },
] as const;
const networkSettings = [
  { pip: "trusted-host", pipEnv: "PIP_TRUSTED_HOST", uvEnv: ["UV_INSECURE_HOST"] },
  { pip: "cert", pipEnv: "PIP_CERT", uvEnv: ["SSL_CERT_FILE"] },
  {
    pip: "proxy",
    pipEnv: "PIP_PROXY",
    uvEnv: ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"],
  },
] as const;

/** Where Linux keeps the certificates that an administrator adds the company's own to. */
const systemBundles = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

export interface EnvironmentOptions {
  readonly env: Env;
  readonly home: string;
  readonly platform: NodeJS.Platform;
}

/**
 * The environment that the installers run in: the user's own, with their proxies, certificates and
 * indexes. uv does not read pip's settings, so an index that only pip knows is passed on; by
 * environment and never by argument, since its address may hold a password.
 */
export async function installerEnvironment(options: EnvironmentOptions): Promise<Env> {
  const env: Record<string, string | undefined> = { ...options.env };
  for (const name of notForUs) delete env[name];
  const fromFiles = await pipConfig(options);
  const indexes = (await knowsIndex(options)) ? [] : indexSettings;
  for (const { pip, pipEnv, uvEnv } of [...indexes, ...networkSettings]) {
    const value = env[pipEnv] ?? fromFiles.get(pip);
    if (value && !uvEnv.some((name) => env[name])) env[uvEnv[0]] = value;
  }
  // The other way round, for the pip that fetches uv.
  if (!fromFiles.has("index-url")) {
    env["PIP_INDEX_URL"] ??= env["UV_DEFAULT_INDEX"] ?? env["UV_INDEX_URL"];
  }
  if (options.platform === "darwin" || systemBundles.some((file) => existsSync(file))) {
    env["UV_SYSTEM_CERTS"] ??= "1";
  }
  env["NO_COLOR"] = "1";
  return env;
}

/** Whether uv has been told an index by its own means: then pip's stays pip's. */
async function knowsIndex({ env, home }: EnvironmentOptions): Promise<boolean> {
  if (env["UV_DEFAULT_INDEX"] || env["UV_INDEX_URL"] || env["UV_INDEX"]) return true;
  const files = env["UV_CONFIG_FILE"]
    ? [env["UV_CONFIG_FILE"]]
    : ["/etc/uv/uv.toml", join(env["XDG_CONFIG_HOME"] || join(home, ".config"), "uv/uv.toml")];
  const texts = await Promise.all(files.map(readIfThere));
  return texts.some((text) =>
    /^\s*(\[\[(pip\.)?index\]\]|(default-)?index(-url)?\s*=)/m.test(text),
  );
}

/** The options that hold for `pip install` in pip's configuration files; later files win. */
async function pipConfig(options: EnvironmentOptions): Promise<ReadonlyMap<string, string>> {
  const { env, home } = options;
  const files = [
    "/etc/pip.conf",
    join(home, ".pip/pip.conf"),
    join(env["XDG_CONFIG_HOME"] || join(home, ".config"), "pip/pip.conf"),
    ...(options.platform === "darwin"
      ? [join(home, "Library/Application Support/pip/pip.conf")]
      : []),
    ...(env["PIP_CONFIG_FILE"] ? [env["PIP_CONFIG_FILE"]] : []),
  ];
  // pip's own way of saying "no configuration files".
  if (env["PIP_CONFIG_FILE"] === "/dev/null") return new Map();
  const settings = new Map<string, string>();
  for (const text of await Promise.all(files.map(readIfThere))) {
    for (const [name, value] of parseIni(text, ["global", "install"])) settings.set(name, value);
  }
  return settings;
}

/** The settings of some sections; a value may go on over indented lines. */
function parseIni(text: string, sections: readonly string[]): Map<string, string> {
  const settings = new Map<string, string>();
  let section = "";
  let name: string | undefined;
  for (const line of text.split(/\r?\n/)) {
    if (/^\s*([#;]|$)/.test(line)) continue;
    const header = /^\[(.+)\]\s*$/.exec(line);
    const pair = /^([^\s=:][^=:]*?)\s*[=:]\s*(.*)$/.exec(line);
    if (header) [section, name] = [header[1]!, undefined];
    else if (!sections.includes(section)) continue;
    else if (/^\s/.test(line) && name) {
      settings.set(name, `${settings.get(name)} ${line.trim()}`.trim());
    } else if (pair) {
      name = pair[1]!.toLowerCase().replaceAll("_", "-");
      settings.set(name, pair[2]!.trim());
    }
  }
  return settings;
}

async function readIfThere(file: string): Promise<string> {
  return readFile(file, "utf8").catch(() => "");
}
