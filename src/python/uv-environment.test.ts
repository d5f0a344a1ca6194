import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { installerEnvironment } from "./uv-environment.ts";

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "moxi-home-"));
});
afterEach(() => rm(home, { recursive: true }));

const environment = (env: Record<string, string>, platform: NodeJS.Platform = "linux") =>
  installerEnvironment({ env, home, platform });

async function write(path: string, text: string): Promise<void> {
  await mkdir(dirname(join(home, path)), { recursive: true });
  await writeFile(join(home, path), text);
}

test("proxies, certificates and uv's own settings pass; what bends the lock does not", async () => {
  const mine = {
    HTTPS_PROXY: "http://proxy",
    SSL_CERT_FILE: "/ca.pem",
    UV_DEFAULT_INDEX: "https://uv.example",
    UV_HTTP_TIMEOUT: "90",
  };
  const env = await environment({
    ...mine,
    UV_CONSTRAINT: "c.txt",
    UV_NO_VERIFY_HASHES: "1",
    UV_SYSTEM_PYTHON: "1",
    PYTHONPATH: "/elsewhere",
    VIRTUAL_ENV: "/venv",
  });
  expect(env).toMatchObject(mine);
  for (const name of [
    "UV_CONSTRAINT",
    "UV_NO_VERIFY_HASHES",
    "UV_SYSTEM_PYTHON",
    "PYTHONPATH",
    "VIRTUAL_ENV",
  ]) {
    expect(env).not.toHaveProperty(name);
  }
});

test("pip's environment reaches uv where uv was told nothing", async () => {
  const pip = { PIP_INDEX_URL: "https://pip.example", PIP_CERT: "/pip.pem", PIP_PROXY: "http://p" };
  expect(await environment(pip)).toMatchObject({
    UV_DEFAULT_INDEX: "https://pip.example",
    SSL_CERT_FILE: "/pip.pem",
    HTTPS_PROXY: "http://p",
  });
  const both = await environment({
    ...pip,
    UV_INDEX_URL: "https://uv.example",
    https_proxy: "http://q",
  });
  expect(both).not.toHaveProperty("UV_DEFAULT_INDEX");
  expect(both).not.toHaveProperty("HTTPS_PROXY");
});

test("pip's configuration file reaches uv, the nearer file first", async () => {
  await write(".pip/pip.conf", "[global]\nindex-url = https://old.example\n");
  await write(
    ".config/pip/pip.conf",
    "# mine\n[global]\nindex_url = https://me:pa=ss@new.example/simple\nextra-index-url =\n    https://a.example\n    https://b.example\n[list]\nproxy = http://not-for-install\n",
  );
  const env = await environment({});
  expect(env).toMatchObject({
    UV_DEFAULT_INDEX: "https://me:pa=ss@new.example/simple",
    UV_INDEX: "https://a.example https://b.example",
  });
  expect(env).not.toHaveProperty("HTTPS_PROXY");
  expect(env).not.toHaveProperty("PIP_INDEX_URL");
  expect(await environment({ PIP_CONFIG_FILE: "/dev/null" })).not.toHaveProperty(
    "UV_DEFAULT_INDEX",
  );
});

test("an index in uv's own configuration file stays", async () => {
  await write(".config/pip/pip.conf", "[global]\nindex-url = https://pip.example\n");
  await write(".config/uv/uv.toml", '[[index]]\nurl = "https://uv.example"\ndefault = true\n');
  expect(await environment({})).not.toHaveProperty("UV_DEFAULT_INDEX");
});

test("an index that only uv knows reaches the pip that fetches uv", async () => {
  expect(await environment({ UV_DEFAULT_INDEX: "https://uv.example" })).toMatchObject({
    PIP_INDEX_URL: "https://uv.example",
  });
});

test("certificates of the system count, unless the user says otherwise", async () => {
  expect((await environment({}, "darwin"))["UV_SYSTEM_CERTS"]).toBe("1");
  expect((await environment({ UV_SYSTEM_CERTS: "0" }, "darwin"))["UV_SYSTEM_CERTS"]).toBe("0");
});
