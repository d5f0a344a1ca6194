import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type { Notice } from "../base/host.ts";
import { proxyFor } from "./connect.ts";
import { readSettings } from "./settings.ts";

const home = mkdtempSync(join(tmpdir(), "moxi-aws-"));
mkdirSync(join(home, ".aws"));
writeFileSync(
  join(home, ".aws/config"),
  `[default]
region = eu-central-1
[profile dev]
region = eu-west-3
services = local
endpoint_url = http://everything.example:1
[services local]
s3 =
  endpoint_url = http://only-s3.example:2
`,
);
afterAll(() => rmSync(home, { recursive: true }));

const read = async (env: Record<string, string>, region?: string) => {
  const notices: Notice[] = [];
  const outside = { env, home, host: { notify: (notice: Notice) => void notices.push(notice) } };
  const settings = await readSettings(outside, region === undefined ? {} : { region });
  return { settings, notices };
};

test.each<[Record<string, string>, string | undefined, string, string]>([
  [
    { AWS_REGION: "us-west-2", AWS_DEFAULT_REGION: "us-west-2" },
    undefined,
    "us-west-2",
    "AWS_REGION",
  ],
  [{ AWS_DEFAULT_REGION: "us-west-2" }, undefined, "us-west-2", "AWS_DEFAULT_REGION"],
  [{ AWS_REGION: "us-west-2" }, "ap-south-1", "ap-south-1", "the config"],
  [{ AWS_PROFILE: "dev" }, undefined, "eu-west-3", join(home, ".aws/config")],
  [{ AWS_PROFILE: "dev", AWS_REGION: "us-gov-west-1" }, undefined, "us-gov-west-1", "AWS_REGION"],
  [{}, undefined, "eu-central-1", join(home, ".aws/config")],
  [{ AWS_REGION: " " }, undefined, "eu-central-1", join(home, ".aws/config")],
])("the region of %j and %s is %s", async (env, region, found, from) => {
  const { settings, notices } = await read(env, region);
  expect([settings.region, settings.regionFrom, notices]).toEqual([found, from, []]);
});

test("two regions that differ are told, and AWS_REGION is used", async () => {
  const { settings, notices } = await read({
    AWS_REGION: "us-east-1",
    AWS_DEFAULT_REGION: "us-east-2",
  });
  expect(settings.region).toBe("us-east-1");
  expect(notices).toMatchObject([{ type: "warning", text: expect.stringContaining("us-east-2") }]);
});

test.each<[Record<string, string>, string]>([
  [{ AWS_CONFIG_FILE: "/nowhere", AWS_SHARED_CREDENTIALS_FILE: "/nowhere" }, "E_AWS_REGION"],
  [{ AWS_REGION: "frankfurt" }, "E_AWS_REGION"],
  [{ AWS_PROFILE: "nobody" }, "E_AWS_CREDENTIALS"],
  [{ AWS_REGION: "us-east-1", AWS_CA_BUNDLE: "/nowhere.pem" }, "E_AWS_SETTINGS"],
  [{ AWS_REGION: "us-east-1", AWS_CA_BUNDLE: join(home, ".aws/config") }, "E_AWS_SETTINGS"],
  [{ AWS_REGION: "us-east-1", HTTPS_PROXY: "socks5://u:geheim@proxy:1" }, "E_AWS_SETTINGS"],
])("%j is refused with %s, without showing a password", async (env, code) => {
  const error = await read(env).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code });
  expect(JSON.stringify(error)).not.toContain("geheim");
});

test("a service's own address wins over the one for all, the environment over the profile", async () => {
  const { settings } = await read({ AWS_PROFILE: "dev" });
  expect([settings.endpoint("s3"), settings.endpoint("sts")]).toEqual([
    "http://only-s3.example:2",
    "http://everything.example:1",
  ]);
  const named = await read({
    AWS_PROFILE: "dev",
    AWS_ENDPOINT_URL: "https://localhost:7/",
    AWS_ENDPOINT_URL_SERVICE_QUOTAS: "https://localhost:8",
  });
  expect([named.settings.endpoint("s3"), named.settings.endpoint("service_quotas")]).toEqual([
    "https://localhost:7",
    "https://localhost:8",
  ]);
  const ignored = await read({ AWS_PROFILE: "dev", AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: "true" });
  expect(ignored.settings.endpoint("s3")).toBeUndefined();
  const wrong = await read({ AWS_REGION: "us-east-1", AWS_ENDPOINT_URL: "localhost" });
  expect(() => wrong.settings.endpoint("s3")).toThrow(
    "AWS_ENDPOINT_URL must be an http(s) address",
  );
});

test("a proxy stands before all hosts but those of NO_PROXY", () => {
  const at = (host: string, none?: string, port = 443) =>
    proxyFor(
      { host, port, secure: true },
      { proxies: { https: "proxy:3128", none }, authorities: { besides: [] } },
    )?.href;
  expect(at("s3.amazonaws.com")).toBe("http://proxy:3128/");
  expect(at("s3.amazonaws.com", "*")).toBeUndefined();
  expect(at("s3.amazonaws.com", "other, .amazonaws.com")).toBeUndefined();
  expect(at("s3.amazonaws.com", "amazonaws.com")).toBeUndefined();
  expect(at("s3.amazonaws.com", "*.amazonaws.com")).toBeUndefined();
  expect(at("s3.amazonaws.com", "aws.com")).toBe("http://proxy:3128/");
  expect(at("s3.amazonaws.com", "s3.amazonaws.com:80")).toBe("http://proxy:3128/");
  expect(at("s3.amazonaws.com", "s3.amazonaws.com:443")).toBeUndefined();
});
