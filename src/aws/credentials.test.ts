import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { silentHost } from "../base/host.ts";
import { credentialSource } from "./credentials.ts";
import { readSettings } from "./settings.ts";

// The providers are the SDK's; what is tried here is that they get what the environment says, and
// not what the process's own says, from a server that answers as STS, a container and an instance do.

const home = mkdtempSync(join(tmpdir(), "moxi-credentials-"));
let server: Server;
let url = "";
const asked: string[] = [];
/** What STS was asked. */
const forms: URLSearchParams[] = [];

const sts = (action: string, key: string) =>
  `<${action}Response><${action}Result><Credentials><AccessKeyId>${key}</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></${action}Result></${action}Response>`;

beforeAll(async () => {
  server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("end", () => {
      const action = /Action=(\w+)/.exec(body)?.[1];
      if (action !== undefined) forms.push(new URLSearchParams(body));
      asked.push(action ?? `${request.method} ${request.url}`);
      const keys = {
        AccessKeyId: "ROLE",
        SecretAccessKey: "s",
        Token: "t",
        Expiration: "2099-01-01T00:00:00Z",
      };
      if (action !== undefined) return response.end(sts(action, action.toUpperCase()));
      if (request.url === "/latest/api/token") return response.end("token");
      if (request.url?.startsWith("/federation/credentials?") === true) {
        if (request.headers["x-amz-sso_bearer_token"] !== "signed-in") return response.end("{}");
        const role = { accessKeyId: "SSO", secretAccessKey: "s", sessionToken: "t" };
        return response.end(JSON.stringify({ roleCredentials: { ...role, expiration: 4e12 } }));
      }
      if (request.url === "/latest/meta-data/iam/security-credentials/")
        return response.end("worker");
      return response.end(
        JSON.stringify({
          ...keys,
          Code: "Success",
          LastUpdated: "2026-01-01T00:00:00Z",
          Type: "AWS-HMAC",
        }),
      );
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  mkdirSync(join(home, ".aws"));
  writeFileSync(
    join(home, ".aws/config"),
    `[profile keys]
aws_access_key_id = PROFILE
aws_secret_access_key = s
[profile role]
role_arn = arn:aws:iam::123456789012:role/r
source_profile = keys
[profile program]
credential_process = echo '{"Version":1,"AccessKeyId":"PROGRAM","SecretAccessKey":"s"}'
[profile sso]
sso_start_url = https://example.awsapps.com/start
sso_region = us-east-1
sso_account_id = 123456789012
sso_role_name = r
[profile signed-in]
sso_session = company
sso_account_id = 123456789012
sso_role_name = r
[profile role-by-sso]
role_arn = arn:aws:iam::123456789012:role/r
source_profile = signed-in
external_id = outside
duration_seconds = 7200
[sso-session company]
sso_start_url = https://company.awsapps.com/start
sso_region = us-west-2
[profile role-by-token]
role_arn = arn:aws:iam::123456789012:role/r
web_identity_token_file = ${join(home, "token")}
`,
  );
  // Where `aws sso login` leaves what it got.
  const session = createHash("sha1").update("company").digest("hex");
  mkdirSync(join(home, ".aws/sso/cache"), { recursive: true });
  writeFileSync(
    join(home, ".aws/sso/cache", `${session}.json`),
    JSON.stringify({ accessToken: "signed-in", expiresAt: "2099-01-01T00:00:00Z" }),
  );
  writeFileSync(join(home, "token"), "a-web-identity-token");
});
afterAll(() => {
  server.close();
  rmSync(home, { recursive: true });
});

const source = async (env: Record<string, string | undefined>) => {
  const outside = { env: { AWS_REGION: "us-east-1", ...env }, home, host: silentHost };
  return credentialSource(outside, await readSettings(outside));
};

test.each<[string, () => Record<string, string>, string]>([
  ["AWS's names", () => ({ AWS_ACCESS_KEY_ID: "A", AWS_SECRET_ACCESS_KEY: "s" }), "A"],
  [
    "the older names, beside half a pair of AWS's",
    () => ({ AWS_ACCESS_KEY_ID: "A", AWS_ACCESS_KEY: "B", AWS_SECRET_KEY: "s" }),
    "B",
  ],
  ["the older names", () => ({ AWS_ACCESS_KEY: "B", AWS_SECRET_KEY: "s" }), "B"],
  [
    "a profile, before variables",
    () => ({ AWS_PROFILE: "keys", AWS_ACCESS_KEY: "B", AWS_SECRET_KEY: "s" }),
    "PROFILE",
  ],
  [
    "a role that a profile takes",
    () => ({ AWS_PROFILE: "role", AWS_ENDPOINT_URL_STS: url }),
    "ASSUMEROLE",
  ],
  [
    "a token that a profile names",
    () => ({ AWS_PROFILE: "role-by-token", AWS_ENDPOINT_URL_STS: url }),
    "ASSUMEROLEWITHWEBIDENTITY",
  ],
  ["a program", () => ({ AWS_PROFILE: "program" }), "PROGRAM"],
  [
    "a web identity",
    () => ({
      AWS_WEB_IDENTITY_TOKEN_FILE: join(home, "token"),
      AWS_ROLE_ARN: "arn:aws:iam::123456789012:role/r",
      AWS_ENDPOINT_URL_STS: url,
    }),
    "ASSUMEROLEWITHWEBIDENTITY",
  ],
  ["a container", () => ({ AWS_CONTAINER_CREDENTIALS_FULL_URI: `${url}/container` }), "ROLE"],
])("credentials come from %s", async (_name, env, accessKeyId) => {
  expect(await (await source(env())).get()).toMatchObject({ accessKeyId });
});

describe("a profile that signs in by SSO", () => {
  // As for an instance's address: what AWS's own tool has kept, the SDK takes from the process's home.
  beforeEach(() => {
    vi.stubEnv("HOME", home);
  });
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  test("gives credentials", async () => {
    const signedIn = await source({ AWS_PROFILE: "signed-in", AWS_ENDPOINT_URL_SSO: url });
    expect(await signedIn.get()).toMatchObject({ accessKeyId: "SSO", sessionToken: "t" });
  });

  test("gives them to a role that it takes, each service at its own address", async () => {
    const role = await source({
      AWS_PROFILE: "role-by-sso",
      AWS_ENDPOINT_URL_SSO: url,
      AWS_ENDPOINT_URL_STS: url,
    });
    asked.length = 0;
    expect(await role.get()).toMatchObject({ accessKeyId: "ASSUMEROLE" });
    expect(asked).toEqual([expect.stringContaining("/federation/credentials?"), "AssumeRole"]);
    expect(Object.fromEntries(forms.at(-1)!)).toMatchObject({
      RoleArn: "arn:aws:iam::123456789012:role/r",
      ExternalId: "outside",
      DurationSeconds: "7200",
    });
  });

  test("is found in the file that AWS_CONFIG_FILE names, also by way of a role", async () => {
    const named = join(home, "named");
    const text = readFileSync(join(home, ".aws/config"), "utf8");
    writeFileSync(named, text.replaceAll("signed-in", "in-another-file"));
    const role = await source({
      AWS_PROFILE: "role-by-sso",
      AWS_CONFIG_FILE: named,
      AWS_ENDPOINT_URL_SSO: url,
      AWS_ENDPOINT_URL_STS: url,
    });
    expect(await role.get()).toMatchObject({ accessKeyId: "ASSUMEROLE" });
  });

  test.each(["signed-in", "role-by-sso"])(
    "asks in the region of its sign-in, not in the one that is worked in: %s",
    async (profile) => {
      const hosts: string[] = [];
      const proxy = createServer().on("connect", ({ url: host }, socket) => {
        hosts.push(host!);
        socket.end("HTTP/1.1 502 Bad Gateway\r\n\r\n");
      });
      await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
      const { port } = proxy.address() as AddressInfo;
      const found = await source({
        AWS_PROFILE: profile,
        AWS_REGION: "eu-central-1",
        HTTPS_PROXY: `http://127.0.0.1:${port}`,
      });
      await expect(found.get()).rejects.toThrow("cannot get AWS credentials");
      expect(new Set(hosts)).toEqual(new Set(["portal.sso.us-west-2.amazonaws.com:443"]));
      proxy.close();
    },
  );
});

test("credentials come from an instance", async () => {
  // The one thing that the SDK does not take from us.
  vi.stubEnv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url);
  expect(await (await source({})).get()).toMatchObject({ accessKeyId: "ROLE" });
  vi.unstubAllEnvs();
});

test.each<[string, Record<string, string>, string, RegExp]>([
  ["half a pair", { AWS_ACCESS_KEY: "A" }, "E_AWS_CREDENTIALS", /AWS_SECRET_KEY is not/],
  [
    "half a pair of AWS's names",
    { AWS_SECRET_ACCESS_KEY: "A" },
    "E_AWS_CREDENTIALS",
    /AWS_ACCESS_KEY_ID is not/,
  ],
  ["nothing", { AWS_EC2_METADATA_DISABLED: "true" }, "E_AWS_CREDENTIALS", /no AWS credentials/],
  [
    "an SSO session that has run out",
    { AWS_PROFILE: "sso" },
    "E_AWS_EXPIRED",
    /the profile sso|SSO/,
  ],
  [
    "keys past their date",
    {
      AWS_ACCESS_KEY_ID: "A",
      AWS_SECRET_ACCESS_KEY: "s",
      AWS_CREDENTIAL_EXPIRATION: "2020-01-01T00:00:00Z",
    },
    "E_AWS_EXPIRED",
    /have expired/,
  ],
])("%s is told", async (_name, env, code, message) => {
  const error = await source(env)
    .then((found) => found.get())
    .catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code, exitCode: 4, message: expect.stringMatching(message) });
});

test("who must sign in again is told how", async () => {
  const error = await source({ AWS_PROFILE: "sso" })
    .then((found) => found.get())
    .catch((reason: unknown) => reason);
  expect((error as { hint: string }).hint).toContain("aws sso login --profile sso");
});

test("credentials are fetched once, and again when AWS calls them expired", async () => {
  const role = await source({ AWS_PROFILE: "role", AWS_ENDPOINT_URL_STS: url });
  asked.length = 0;
  await Promise.all([role.get(), role.get()]);
  await role.get();
  expect(asked).toEqual(["AssumeRole"]);
  await role.renew();
  expect(asked).toEqual(["AssumeRole", "AssumeRole"]);
});
