import { NodeHttpHandler } from "@smithy/node-http-handler";
import { createAgents } from "./agents.ts";
import { join } from "node:path";
import { cacheFolder } from "../base/paths.ts";
import { tellWait } from "../base/waiting.ts";
import { credentialSource } from "./credentials.ts";
import type { CredentialSource } from "./credentials.ts";
import type { Doing } from "./errors.ts";
import { translate } from "./errors.ts";
import type { Outside } from "./outside.ts";
import type { Logs } from "./logs.ts";
import type { S3 } from "./s3.ts";
import type { SageMaker } from "./sagemaker.ts";
import type { Ecr } from "./ecr.ts";
import type { Iam } from "./iam.ts";
import type { Pricing } from "./pricing.ts";
import type { Quotas } from "./quotas.ts";
import type { Ssm } from "./ssm.ts";
import type { Sts } from "./sts.ts";
import { readSettings } from "./settings.ts";
import type { AwsSettings, SettingsOptions } from "./settings.ts";

/** The services of one account and region. Each client is loaded and made when it is first asked for. */
export interface Aws {
  readonly settings: AwsSettings;
  readonly credentials: CredentialSource;
  s3(): Promise<S3>;
  sagemaker(): Promise<SageMaker>;
  logs(): Promise<Logs>;
  sts(): Promise<Sts>;
  quotas(): Promise<Quotas>;
  pricing(): Promise<Pricing>;
  iam(): Promise<Iam>;
  ecr(): Promise<Ecr>;
  ssm(): Promise<Ssm>;
  /** Closes every connection that is kept. */
  close(): void;
}

/** What every client is made of. */
export interface ClientParts {
  readonly settings: AwsSettings;
  readonly credentials: CredentialSource;
  /** The configuration that all SDK clients share; `serviceId` names the endpoint's variable. */
  config(serviceId: string): Promise<ClientConfig>;
  /** Runs one call; whatever it throws becomes a MoxiError that names what was tried. */
  attempt<T>(doing: string, call: () => Promise<T>): Promise<T>;
  onClose(close: () => void): void;
}

type ClientConfig = Awaited<ReturnType<typeof clientConfig>>;

/**
 * Opens AWS as the environment, `.env` and the shared config files say. Nothing is sent yet.
 *
 * @throws E_AWS_REGION, E_AWS_SETTINGS, E_AWS_CREDENTIALS for settings that cannot be used
 */
export async function openAws(outside: Outside, options: SettingsOptions = {}): Promise<Aws> {
  const settings = await readSettings(outside, options);
  const credentials = credentialSource(outside, settings);
  const closers: (() => void)[] = [];
  const doing: Omit<Doing, "doing"> = { settings, credentials: credentials.from };
  const parts: ClientParts = {
    settings,
    credentials,
    config: (serviceId) =>
      clientConfig(serviceId, { settings, credentials, closers, signal: options.signal }),
    attempt: (what, call) =>
      tellWait(outside.host, `AWS: ${what}`, call()).catch((error: unknown) => {
        throw translate(error, { doing: what, ...doing });
      }),
    onClose: (close) => closers.push(close),
  };
  const once = <T>(make: () => Promise<T>) => {
    let made: Promise<T> | undefined;
    return () => (made ??= make());
  };
  return {
    settings,
    credentials,
    s3: once(async () => (await import("./s3.ts")).openS3(parts)),
    sagemaker: once(async () => (await import("./sagemaker.ts")).openSageMaker(parts)),
    logs: once(async () => (await import("./logs.ts")).openLogs(parts)),
    sts: once(async () => (await import("./sts.ts")).openSts(parts)),
    quotas: once(async () =>
      (await import("./quotas.ts")).openQuotas(
        parts,
        join(cacheFolder(outside), "moxi", "quota-codes.json"),
      ),
    ),
    pricing: once(async () => (await import("./pricing.ts")).openPricing(parts)),
    iam: once(async () => (await import("./iam.ts")).openIam(parts)),
    ecr: once(async () => (await import("./ecr.ts")).openEcr(parts)),
    ssm: once(async () => (await import("./ssm.ts")).openSsm(parts)),
    close: () => {
      for (const close of closers.splice(0)) close();
    },
  };
}

interface ConfigParts {
  readonly settings: AwsSettings;
  readonly credentials: CredentialSource;
  readonly closers: (() => void)[];
  readonly signal: AbortSignal | undefined;
}

async function clientConfig(
  serviceId: string,
  { settings, credentials, closers, signal }: ConfigParts,
) {
  const { http, https } = createAgents(settings.network);
  closers.push(() => {
    http.destroy();
    https.destroy();
  });
  const endpoint = settings.endpoint(serviceId);
  const handler = new NodeHttpHandler({
    httpAgent: http,
    httpsAgent: https,
    requestTimeout: 60_000,
    throwOnRequestTimeout: true,
    connectionTimeout: 10_000,
  });
  if (signal !== undefined) {
    // The SDK takes a signal with each call; this one is for all of them.
    const handle = handler.handle.bind(handler);
    handler.handle = (request, options) => handle(request, { ...options, abortSignal: signal });
  }
  return {
    region: settings.region,
    // Everything is given, so that the SDK does not look at the process's own environment.
    credentials: async () => {
      const { accessKeyId, secretAccessKey, sessionToken, expiration } = await credentials.get();
      return {
        accessKeyId,
        secretAccessKey,
        ...(sessionToken === undefined ? {} : { sessionToken }),
        ...(expiration === undefined ? {} : { expiration }),
      };
    },
    ...(endpoint === undefined ? {} : { endpoint }),
    useFipsEndpoint: settings.fips,
    useDualstackEndpoint: settings.dualStack,
    retryMode: "adaptive",
    maxAttempts: 6,
    requestHandler: handler,
  };
}
