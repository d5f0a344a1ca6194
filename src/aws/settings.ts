import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { loadSharedConfigFiles } from "@smithy/core/config";
import { MoxiError, systemCode } from "../base/errors.ts";
import { resolvePath } from "../base/paths.ts";
import type { Network } from "./connect.ts";
import { variable } from "./outside.ts";
import type { Outside } from "./outside.ts";

/** Where AWS is and how it is reached, out of the environment and the shared config files. */
export interface AwsSettings {
  readonly region: string;
  /** The variable or file that named the region. */
  readonly regionFrom: string;
  /** The profile that was asked for; "default" is used where none was. */
  readonly profile: string | undefined;
  readonly configFile: string;
  readonly credentialsFile: string;
  readonly network: Network;
  readonly fips: boolean;
  readonly dualStack: boolean;
  /** The address that replaces a service's own, by its id in lower case with "_" ("s3", "service_quotas"). */
  endpoint(serviceId: string): string | undefined;
}

type Sections = Readonly<Record<string, Readonly<Record<string, string | undefined>>>>;

export interface SettingsOptions {
  /** A region that the config or a flag names; wins over the environment. */
  readonly region?: string;
  /** Ends every request that is under way, and lets none begin. */
  readonly signal?: AbortSignal;
}

/**
 * Reads the settings as AWS's own tools do. AWS_REGION wins over AWS_DEFAULT_REGION (a warning tells
 * when they differ), both win over the profile's region.
 *
 * @throws E_AWS_REGION where nothing names a region, E_AWS_SETTINGS for what cannot be used
 */
export async function readSettings(
  outside: Outside,
  options: SettingsOptions = {},
): Promise<AwsSettings> {
  const { env, home, host } = outside;
  const path = (name: string, standard: string) =>
    resolvePath(variable(env, name) ?? join(home, ".aws", standard), home, home);
  const configFile = path("AWS_CONFIG_FILE", "config");
  const credentialsFile = path("AWS_SHARED_CREDENTIALS_FILE", "credentials");
  const profile = variable(env, "AWS_PROFILE", "AWS_DEFAULT_PROFILE");
  const files = await loadSharedConfigFiles({
    configFilepath: configFile,
    filepath: credentialsFile,
    ignoreCache: true,
  });
  const sections: Sections = files.configFile;
  const ofProfile = {
    ...files.credentialsFile[profile ?? "default"],
    ...files.configFile[profile ?? "default"],
  };
  if (profile !== undefined && Object.keys(ofProfile).length === 0) {
    throw new MoxiError("E_AWS_CREDENTIALS", `there is no AWS profile ${profile}`, {
      hint: `correct AWS_PROFILE, or make the profile: aws configure sso --profile ${profile}`,
      place: { file: configFile, field: "AWS_PROFILE" },
    });
  }

  const first = variable(env, "AWS_REGION");
  const second = variable(env, "AWS_DEFAULT_REGION");
  if (options.region === undefined && first && second && first !== second) {
    host.notify({
      type: "warning",
      text: `AWS_REGION (${first}) and AWS_DEFAULT_REGION (${second}) differ: ${first} is used`,
      hint: "remove one of them; other tools may use the other",
    });
  }
  const found = [
    [options.region, "the config"],
    [first, "AWS_REGION"],
    [second, "AWS_DEFAULT_REGION"],
    [ofProfile["region"], configFile],
  ].find(([value]) => value !== undefined && value !== "");
  const region = found?.[0];
  if (region === undefined) {
    throw new MoxiError("E_AWS_REGION", "no AWS region is set", {
      hint: "write AWS_REGION=us-east-1 (your region) into .env",
    });
  }
  if (!/^[a-z]{2,}(-[a-z]+)+-\d+$/.test(region)) {
    throw new MoxiError("E_AWS_REGION", `${JSON.stringify(region)} is not a region's name`, {
      hint: `correct ${found![1]}, for example to us-east-1`,
    });
  }

  return {
    region,
    regionFrom: found![1]!,
    profile,
    configFile,
    credentialsFile,
    network: await readNetwork(outside, ofProfile["ca_bundle"]),
    fips: variable(env, "AWS_USE_FIPS_ENDPOINT") === "true",
    dualStack: variable(env, "AWS_USE_DUALSTACK_ENDPOINT") === "true",
    endpoint: (serviceId) => endpointOf(serviceId, env, sections, ofProfile),
  };
}

function endpointOf(
  serviceId: string,
  env: Outside["env"],
  sections: Sections,
  profile: Readonly<Record<string, string | undefined>>,
): string | undefined {
  if (variable(env, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") === "true") return undefined;
  const name = `AWS_ENDPOINT_URL_${serviceId.toUpperCase()}`;
  const services = profile["services"];
  const [value, from] = [
    [variable(env, name), name],
    [variable(env, "AWS_ENDPOINT_URL"), "AWS_ENDPOINT_URL"],
    [services && sections[`services.${services}`]?.[`${serviceId}.endpoint_url`], "endpoint_url"],
    [profile["endpoint_url"], "endpoint_url"],
  ].find(([found]) => found !== undefined && found !== "") ?? [undefined];
  if (value === undefined) return undefined;
  const url = URL.parse(value);
  if (url !== null && /^https?:$/.test(url.protocol) && url.search === "" && url.username === "") {
    return url.href.replace(/\/+$/, "");
  }
  throw new MoxiError("E_AWS_SETTINGS", `${from} must be an http(s) address without a query`, {
    hint: `correct it, for example to https://localhost:7070, or remove it`,
    place: { field: from! },
  });
}

/** Proxies, and the certificate authorities to trust: AWS_CA_BUNDLE instead of the usual ones, NODE_EXTRA_CA_CERTS beside them. */
async function readNetwork({ env, home }: Outside, profileBundle?: string): Promise<Network> {
  const proxies = {
    https: variable(env, "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
    http: variable(env, "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"),
    none: variable(env, "no_proxy", "NO_PROXY"),
  };
  for (const [scheme, value] of Object.entries(proxies)) {
    if (scheme === "none" || value === undefined) continue;
    const url = URL.parse(value.includes("://") ? value : `http://${value}`);
    if (url !== null && /^https?:$/.test(url.protocol) && url.hostname !== "") continue;
    // The value is not shown: an address can hold a password.
    throw new MoxiError(
      "E_AWS_SETTINGS",
      `${scheme.toUpperCase()}_PROXY is not the address of an HTTP proxy`,
      {
        hint: "correct it, for example to http://proxy.example:3128, or remove it",
        place: { field: `${scheme.toUpperCase()}_PROXY` },
      },
    );
  }
  const bundle = variable(env, "AWS_CA_BUNDLE") ?? profileBundle;
  const extra = variable(env, "NODE_EXTRA_CA_CERTS");
  const pem = async (name: string, file: string) => {
    const path = resolvePath(file, home, home);
    const text = await readFile(path, "utf8").catch((error: unknown) => {
      throw new MoxiError("E_AWS_SETTINGS", `${name} cannot be read (${systemCode(error)})`, {
        hint: `make ${name} name a PEM file that you may read, or remove it`,
        place: { file: path, field: name },
        cause: error,
      });
    });
    const certificates = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g);
    if (certificates !== null) return certificates;
    throw new MoxiError("E_AWS_SETTINGS", `${name} holds no certificate`, {
      hint: `make ${name} name a PEM file with certificates`,
      place: { file: path, field: name },
    });
  };
  return {
    proxies,
    authorities: {
      only: bundle === undefined ? undefined : await pem("AWS_CA_BUNDLE", bundle),
      besides: extra === undefined ? [] : await pem("NODE_EXTRA_CA_CERTS", extra),
    },
  };
}
