import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { silentHost } from "../base/host.ts";
import { credentialSource } from "./credentials.ts";
import { readSettings } from "./settings.ts";

// The providers are the SDK's; what is tried here is that they get what the environment says, and
// not what the process's own says, from a server that answers as STS, a container and an instance do.

const home = mkdtempSync(join(tmpdir(), "moxi-credentials-"));
let server: Server;
let url = "";
const asked: string[] = [];

const sts = (action: string, key: string) =>
  `<${action}Response><${action}Result><Credentials><AccessKeyId>${key}</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></${action}Result></${action}Response>`;

beforeAll(async () => {
  server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("end", () => {
      const action = /Action=(\w+)/.exec(body)?.[1];
      asked.push(action ?? `${request.method} ${request.url}`);
      const keys = {
        AccessKeyId: "ROLE",
        SecretAccessKey: "s",
        Token: "t",
        Expiration: "2099-01-01T00:00:00Z",
      };
      if (action !== undefined) return response.end(sts(action, action.toUpperCase()));
      if (request.url === "/latest/api/token") return response.end("token");
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
`,
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
