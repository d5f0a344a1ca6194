import { readFile } from "node:fs/promises";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { loadSharedConfigFiles } from "@smithy/core/config";
import { MoxiError } from "../base/errors.ts";
import { createAgents } from "./agents.ts";
import { translate } from "./errors.ts";
import { variable } from "./outside.ts";
import type { Outside } from "./outside.ts";
import type { AwsSettings } from "./settings.ts";
import type { Credentials } from "./sign.ts";

/** Credentials that are fetched when first needed, and again before they expire. */
export interface CredentialSource {
  /** What gives them, in words: "AWS_ACCESS_KEY", "the profile dev" ... */
  readonly from: string;
  /** At once where they are known and last. */
  get(): Credentials | Promise<Credentials>;
  /** Fetches them again, whatever is kept: AWS has called them expired. */
  renew(): Promise<Credentials>;
}

type Provider = () => Promise<Credentials>;

/** Anything that expires sooner is fetched again before a request is signed with it. */
const marginMs = 5 * 60_000;

/**
 * Credentials in the order of AWS's own tools: a named profile, variables, the default profile
 * (keys, SSO, a role, a process), a web identity, a container, an instance. AWS_ACCESS_KEY and
 * AWS_SECRET_KEY count as AWS's own names.
 *
 * @throws E_AWS_CREDENTIALS from `get`, where there are none; E_AWS_EXPIRED where they have expired
 */
export function credentialSource(outside: Outside, settings: AwsSettings): CredentialSource {
  let known: Credentials | undefined;
  let pending: Promise<Credentials> | undefined;
  const { from, provider } = choose(outside, settings);
  const renew = () => {
    pending ??= provider()
      .catch((error: unknown) => {
        throw translate(error, { doing: "get AWS credentials", credentials: from, settings });
      })
      .then((credentials) => (known = credentials))
      .finally(() => (pending = undefined));
    return pending;
  };
  return {
    from,
    renew,
    get: () => {
      const left = (known?.expiration?.getTime() ?? Infinity) - Date.now();
      return known === undefined || left < marginMs ? renew() : known;
    },
  };
}

function choose(
  { env }: Outside,
  settings: AwsSettings,
): { readonly from: string; readonly provider: Provider } {
  const { profile } = settings;
  if (profile !== undefined) {
    return { from: `the profile ${profile}`, provider: profileProvider(env, settings) };
  }
  const fromVariables = readVariables(env);
  if (fromVariables !== undefined) return fromVariables;

  const tokenFile = variable(env, "AWS_WEB_IDENTITY_TOKEN_FILE");
  const roleArn = variable(env, "AWS_ROLE_ARN");
  return {
    from: "the default profile, or this machine's role",
    provider: async () => {
      const sdk = await import("@aws-sdk/credential-providers");
      if (await hasDefaultProfile(settings)) return profileProvider(env, settings)();
      if (tokenFile !== undefined && roleArn !== undefined) {
        const roleSessionName = variable(env, "AWS_ROLE_SESSION_NAME") ?? "moxi";
        return sdk.fromTokenFile({
          webIdentityTokenFile: tokenFile,
          roleArn,
          roleSessionName,
          clientConfig: stsConfig(settings),
        })();
      }
      const relative = variable(env, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
      const full = variable(env, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
      if (relative !== undefined || full !== undefined) {
        const token = variable(env, "AWS_CONTAINER_AUTHORIZATION_TOKEN");
        const file = variable(env, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
        return sdk.fromHttp({
          ...(relative === undefined
            ? { awsContainerCredentialsFullUri: full! }
            : { awsContainerCredentialsRelativeUri: relative }),
          ...(token === undefined ? {} : { awsContainerAuthorizationToken: token }),
          ...(file === undefined ? {} : { awsContainerAuthorizationTokenFile: file }),
        })();
      }
      if (variable(env, "AWS_EC2_METADATA_DISABLED") === "true") throw noCredentials();
      // Its address, for tests and unusual machines, the SDK takes from the process alone.
      return sdk
        .fromInstanceMetadata({ timeout: 1000, maxRetries: 1, ec2MetadataV1Disabled: true })()
        .catch((error: unknown) => {
          throw noCredentials(error);
        });
    },
  };
}

/** A pair of keys in the environment or `.env`; half a pair is a mistake that is told. */
function readVariables(env: Outside["env"]) {
  const names = [
    ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"],
    ["AWS_ACCESS_KEY", "AWS_SECRET_KEY"],
  ] as const;
  const whole = names.find((pair) => pair.every((name) => variable(env, name)));
  const keyName = whole?.[0] ?? names.map(([key]) => key).find((name) => variable(env, name));
  const secretName =
    whole?.[1] ?? names.map(([, secret]) => secret).find((name) => variable(env, name));
  if (keyName === undefined && secretName === undefined) return undefined;
  if (keyName === undefined || secretName === undefined) {
    const set = keyName ?? secretName!;
    const missing = names.flat()[names.flat().indexOf(set) + (keyName ? 1 : -1)]!;
    throw new MoxiError("E_AWS_CREDENTIALS", `${set} is set, ${missing} is not`, {
      hint: `set ${missing} too, or remove ${set}`,
      place: { field: missing },
    });
  }
  const accessKeyId = variable(env, keyName)!;
  const secretAccessKey = variable(env, secretName)!;
  const sessionToken = variable(env, "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN");
  const stated = variable(env, "AWS_CREDENTIAL_EXPIRATION");
  const expiration = stated === undefined ? undefined : new Date(stated);
  const provider: Provider = async () => {
    if (expiration !== undefined && expiration.getTime() <= Date.now()) {
      throw Object.assign(new Error(`they expired at ${stated}`), { name: "ExpiredToken" });
    }
    return { accessKeyId, secretAccessKey, sessionToken };
  };
  return { from: keyName, provider };
}

function profileProvider(env: Outside["env"], settings: AwsSettings): Provider {
  return async () => {
    const sdk = await import("@aws-sdk/credential-providers");
    const { region, profile = "default", configFile, credentialsFile } = settings;
    const files = { configFilepath: configFile, filepath: credentialsFile, ignoreCache: true };
    // Its region is the profile's sso_region, whatever region is worked in.
    const common = { ...files, profile, clientConfig: callsTo("sso", settings) };
    const clientConfig = stsConfig(settings);
    const { configFile: sections } = await loadSharedConfigFiles(files);
    const section = sections[profile] ?? {};
    // Asked for by way of fromIni, it looks at the process's own files.
    const signsIn = (keys: object) => Object.keys(keys).some((key) => key.startsWith("sso_"));
    if (signsIn(section) && section["role_arn"] === undefined) return sdk.fromSSO(common)();
    const { role_arn: RoleArn, source_profile: source = "", mfa_serial: mfa } = section;
    if (RoleArn !== undefined && mfa === undefined && signsIn(sections[source] ?? {})) {
      const { role_session_name: RoleSessionName, external_id: ExternalId } = section;
      const { duration_seconds: seconds } = section;
      const masterCredentials = sdk.fromSSO({ ...common, profile: source });
      const params = {
        RoleArn,
        ...(RoleSessionName === undefined ? {} : { RoleSessionName }),
        ...(ExternalId === undefined ? {} : { ExternalId }),
        ...(seconds === undefined ? {} : { DurationSeconds: Number(seconds) }),
      };
      return sdk.fromTemporaryCredentials({ masterCredentials, params, clientConfig })();
    }
    return sdk.fromIni({
      ...common,
      parentClientConfig: { region },
      roleAssumer: (masterCredentials, params) =>
        sdk.fromTemporaryCredentials({ masterCredentials, params, clientConfig })(),
      roleAssumerWithWebIdentity: ({ RoleArn, RoleSessionName, WebIdentityToken }) =>
        sdk.fromWebToken({
          roleArn: RoleArn,
          roleSessionName: RoleSessionName,
          webIdentityToken: WebIdentityToken,
          clientConfig,
        })(),
    })();
  };
}

function stsConfig(settings: AwsSettings) {
  return { region: settings.region, ...callsTo("sts", settings) };
}

/** How the provider chain's own calls to STS and SSO reach AWS: as all others do. */
function callsTo(service: "sts" | "sso", settings: AwsSettings) {
  const { http, https } = createAgents(settings.network);
  const endpoint = settings.endpoint(service);
  return {
    ...(endpoint === undefined ? {} : { endpoint }),
    requestHandler: new NodeHttpHandler({ httpAgent: http, httpsAgent: https }),
  };
}

async function hasDefaultProfile({ configFile, credentialsFile }: AwsSettings): Promise<boolean> {
  const texts = await Promise.all(
    [configFile, credentialsFile].map((file) => readFile(file, "utf8").catch(() => "")),
  );
  const section = /^\s*\[(?:profile\s+)?default\s*\]([^[]*)/gm;
  const keys = /^\s*(aws_access_key_id|role_arn|sso_|credential_process|login_session)/m;
  return texts.some((text) => [...text.matchAll(section)].some(([, body]) => keys.test(body!)));
}

function noCredentials(cause?: unknown): MoxiError {
  return new MoxiError("E_AWS_CREDENTIALS", "no AWS credentials were found", {
    hint: "aws configure sso, then AWS_PROFILE=<profile> in .env; or AWS_ACCESS_KEY and AWS_SECRET_KEY in .env",
    ...(cause === undefined ? {} : { cause }),
  });
}
