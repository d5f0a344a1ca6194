import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Notice } from "../base/host.ts";
import { makeWheel, startIndex } from "./fake-index.ts";
import type { FakeIndex } from "./fake-index.ts";
import { readImageLock } from "./image-lock.ts";
import type { ImageLock } from "./image-lock.ts";
import { fetchWheels } from "./wheels.ts";
import type { FetchWheelsOptions } from "./wheels.ts";

const linux = "cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64";
const wheels = [
  makeWheel("alpha"),
  makeWheel("beta", linux),
  makeWheel("gamma", "py3-none-any", 90_000),
];
const lock: ImageLock = {
  formatVersion: 1,
  image: "test",
  python: "3.12",
  torch: "2.9.0",
  platforms: ["manylinux_2_17_x86_64", "manylinux2014_x86_64"],
  wheels: wheels.map(({ name, version, file, sha256, size }) => ({
    name,
    version,
    file,
    sha256,
    size,
  })),
};

let folder: string;
let index: FakeIndex;
let notices: Notice[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "moxi-wheels-"));
  index = await startIndex(wheels);
  notices = [];
});
afterEach(async () => {
  await index.close();
  await rm(folder, { recursive: true, force: true });
});

/** A machine without Python, unless a PATH is given. */
function fetchAll(env: Record<string, string>, more: Partial<FetchWheelsOptions> = {}) {
  return fetchWheels({
    lock,
    cache: join(folder, "cache"),
    env: { PATH: "", PIP_CONFIG_FILE: "/dev/null", UV_CONFIG_FILE: "/dev/null", ...env },
    home: folder,
    platform: "linux",
    host: { notify: (notice) => notices.push(notice) },
    fetch,
    sleep: async () => {},
    ...more,
  });
}
const named = () => ({ UV_DEFAULT_INDEX: index.url });

/** The cache's files, without its lock. */
async function cached(): Promise<string[]> {
  const names = await readdir(join(folder, "cache/wheels"), { recursive: true }).catch(() => []);
  return names.filter((name) => !name.startsWith(".install-")).sort();
}
const whole = wheels
  .flatMap(({ sha256, file }) => [sha256.slice(0, 16), `${sha256.slice(0, 16)}/${file}`])
  .sort();

describe("without Python, from a named index:", () => {
  test.for(["json", "html"] as const)("every wheel, by %s pages", async (format) => {
    index.format = format;
    const fetched = await fetchAll(named());
    for (const [at, wheel] of fetched.entries()) {
      expect((await readFile(wheel.path)).equals(wheels[at]!.data)).toBe(true);
    }
    expect(await cached()).toEqual(whole);
    expect(notices.at(-1)).toMatchObject({ id: "wheels", state: "done" });
    // The second time nothing is asked and nothing is said.
    [index.requests.length, notices.length] = [0, 0];
    expect(await fetchAll({})).toEqual(fetched);
    expect([index.requests, notices]).toEqual([[], []]);
  });

  test("wherever it is named", async () => {
    const write = async (name: string, text: string) => {
      await mkdir(join(folder, name, ".."), { recursive: true });
      await writeFile(join(folder, name), text);
      return join(folder, name);
    };
    const toml = (text: string) => write("uv.toml", text);
    const ways: (() => Promise<Record<string, string>> | Record<string, string>)[] = [
      () => ({ UV_DEFAULT_INDEX: `corp=${index.url}/` }),
      () => ({ UV_INDEX_URL: index.url }),
      () => ({ UV_INDEX: `http://127.0.0.1:1/none ${index.url}` }),
      () => ({ PIP_INDEX_URL: index.url }),
      async () => ({
        PIP_CONFIG_FILE: await write("pip.conf", `[global]\nindex-url = ${index.url}\n`),
      }),
      async () => ({
        UV_CONFIG_FILE: await toml(`[[index]]\nurl = "${index.url}"\ndefault = true\n`),
      }),
      async () => ({ UV_CONFIG_FILE: await toml(`[pip]\nindex-url = "${index.url}"\n`) }),
    ];
    for (const way of ways) {
      await rm(join(folder, "cache"), { recursive: true, force: true });
      await fetchAll(await way());
      expect(await cached()).toEqual(whole);
    }
    await rm(join(folder, "cache"), { recursive: true, force: true });
    await fetchAll({ UV_DEFAULT_INDEX: "http://127.0.0.1:1/none" }, { index: index.url });
    expect(await cached()).toEqual(whole);
  });

  test("where nothing names one, the error says how to, and nothing is asked", async () => {
    await expect(fetchAll({})).rejects.toMatchObject({
      code: "E_WHEEL_INDEX",
      hint: expect.stringContaining("UV_DEFAULT_INDEX="),
    });
    expect(await cached()).toEqual([]);
  });

  test("a password goes to its index alone and into no error", async () => {
    const seen: (string | undefined)[] = [];
    const other = await startIndex(wheels);
    other.before = (request) => (seen.push(request.headers.authorization), false);
    index.before = (request, response) => {
      seen.push(request.headers.authorization);
      if (!request.url!.startsWith("/files/")) return false;
      response.writeHead(302, { location: `${other.url}/..${request.url}` }).end();
      return true;
    };
    const url = index.url.replace("//", "//me:p%40ss@");
    await fetchAll({ UV_DEFAULT_INDEX: url });
    await other.close();
    const basic = `Basic ${btoa("me:p@ss")}`;
    expect(seen.filter((value) => value === undefined)).toHaveLength(3);
    expect(seen.filter((value) => value === basic)).toHaveLength(6);

    // An index may keep its files on another host, and need not send there by a redirect.
    [seen.length] = [0];
    const far = await startIndex(wheels);
    far.before = (request) => (seen.push(request.headers.authorization), false);
    index.before = (request, response) => {
      const own = wheels.filter(({ name }) => request.url === `/simple/${name}/`);
      const files = own.map(({ file }) => ({ filename: file, url: `${far.url}/../files/${file}` }));
      response.setHeader("content-type", "application/vnd.pypi.simple.v1+json");
      return (response.end(JSON.stringify({ files })), true);
    };
    await rm(join(folder, "cache"), { recursive: true });
    await fetchAll({ UV_DEFAULT_INDEX: url });
    await far.close();
    expect(seen).toEqual([undefined, undefined, undefined]);
    index.before = (_, response) => (response.writeHead(401).end(), true);
    await rm(join(folder, "cache"), { recursive: true });
    const error: unknown = await fetchAll({ UV_DEFAULT_INDEX: url }).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({
      code: "E_WHEEL",
      message: expect.stringContaining("refuses access"),
    });
    expect(JSON.stringify(error)).not.toMatch(/p@ss|p%40ss/);
  });

  test("another file under the same name is refused and not kept", async () => {
    const { file, data } = wheels[1]!;
    const other = Buffer.from(data);
    other[40]! ^= 1;
    for (const bad of [other, Buffer.concat([data, Buffer.from("more")])]) {
      index.files.set(file, bad);
      await expect(fetchAll(named())).rejects.toMatchObject({
        code: "E_WHEEL",
        message: expect.stringContaining(`serves another ${file}`),
      });
      expect((await cached()).filter((name) => name.endsWith(file))).toEqual([]);
    }
    index.files.set(file, data);
    await fetchAll(named());
    expect(await cached()).toEqual(whole);
  });

  test("an index that lacks a file is named", async () => {
    index.files.delete(wheels[0]!.file);
    await expect(fetchAll(named())).rejects.toMatchObject({
      code: "E_WHEEL",
      message: expect.stringMatching(/127\.0\.0\.1:\d+ has no alpha-1\.0-py3-none-any\.whl/),
    });
  });

  test("what was cut off goes on where it ended", async () => {
    const { file, data, sha256 } = wheels[2]!;
    let cuts = 2;
    index.before = (request, response) => {
      if (!request.url!.endsWith(file) || cuts === 0) return false;
      cuts -= 1;
      const from = Number(/(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);
      response.writeHead(from > 0 ? 206 : 200, { "content-length": data.length - from });
      const to = Math.min(data.length - 1, from + 30_000);
      response.write(data.subarray(from, to));
      // An end that comes before the bytes were written down takes them along.
      const part = join(folder, `cache/wheels/${sha256.slice(0, 16)}.part`);
      const endOnceKept = async () => {
        const { size } = await stat(part).catch(() => ({ size: 0 }));
        if (size < to) return void setImmediate(() => void endOnceKept());
        response.destroy();
      };
      void endOnceKept();
      return true;
    };
    await fetchAll(named());
    expect(await cached()).toEqual(whole);
    const asked = index.requests.filter((line) => line.includes(`/files/${file}`));
    expect(asked).toHaveLength(3);
    expect(asked.slice(1)).toEqual([
      expect.stringMatching(/ bytes=30000-$/),
      expect.stringMatching(/ bytes=60000-$/),
    ]);
  });

  test("a busy index is asked again; one that stays so is told", async () => {
    let busy = 3;
    index.before = (_, response) =>
      busy-- > 0 && (response.writeHead(busy === 0 ? 429 : 503).end(), true);
    await fetchAll(named());
    expect(await cached()).toEqual(whole);
    await rm(join(folder, "cache"), { recursive: true });
    index.before = (_, response) => (response.writeHead(503).end(), true);
    await expect(fetchAll(named())).rejects.toMatchObject({ code: "E_NETWORK" });
    await index.close();
    await expect(fetchAll(named())).rejects.toMatchObject({
      code: "E_NETWORK",
      message: expect.stringContaining("cannot be reached"),
    });
    expect(await cached()).toEqual([]);
  });

  test("a file in the cache that was cut off is fetched again", async () => {
    const [first] = await fetchAll(named());
    await writeFile(first!.path, "");
    await fetchAll(named());
    expect((await readFile(first!.path)).equals(wheels[0]!.data)).toBe(true);
  });

  test("two calls at once fetch each file once", async () => {
    await Promise.all([fetchAll(named()), fetchAll(named())]);
    expect(await cached()).toEqual(whole);
    expect(index.requests.filter((line) => line.includes("/files/"))).toHaveLength(3);
  });

  test("an abort ends it", async () => {
    await expect(fetchAll(named(), { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: "E_INTERRUPTED",
    });
  });
});

describe("with Python at hand, by its pip:", () => {
  const { PATH } = process.env;
  const pip = () => ({ PATH: PATH!, PIP_INDEX_URL: index.url, PIP_NO_CACHE_DIR: "1" });

  test("the image's files, whatever this machine is", async () => {
    index.format = "html";
    // A wheel that this lock does not name, although it would suit this machine better.
    index.files.set("beta-1.0-py3-none-any.whl", makeWheel("beta").data);
    const fetched = await fetchAll(pip());
    expect((await readFile(fetched[1]!.path)).equals(wheels[1]!.data)).toBe(true);
    expect(await cached()).toEqual(whole);
    // It was pip that asked: our own requests want JSON first and never come twice.
    expect(index.requests).toContain("GET /simple/beta/");
  });

  test("from the index that the config names, whatever pip is set to", async () => {
    index.format = "html";
    await fetchAll({ ...pip(), PIP_INDEX_URL: "http://127.0.0.1:1/none" }, { index: index.url });
    expect(await cached()).toEqual(whole);
  });

  test("a wrong hash is told as one", async () => {
    index.files.set(wheels[0]!.file, makeWheel("alpha", "py3-none-any", 7).data);
    await expect(fetchAll(pip())).rejects.toMatchObject({
      message: expect.stringMatching(/hash differs|serves another/),
    });
    expect(await cached()).toEqual([]);
  });
});

describe("the images' locks", () => {
  const locks = join(import.meta.dirname, "../../trainer/locks");
  test("name wheels for their own Python and system alone", async () => {
    const files = (await readdir(locks)).filter((name) => name.endsWith(".json"));
    expect(files.length).toBeGreaterThan(0);
    for (const file of files) {
      const { image, python, platforms, wheels: locked } = await readImageLock(join(locks, file));
      expect(`${image}.json`).toBe(file);
      const names = locked.map(({ name }) => name);
      expect(new Set(names).size).toBe(names.length);
      for (const needed of ["transformers", "trl", "peft", "accelerate", "datasets", "boto3"]) {
        expect(names).toContain(needed);
      }
      expect(names.filter((name) => /^(torch|triton|nvidia-.*)$/.test(name))).toEqual([]);
      const minor = Number(python.split(".")[1]);
      for (const { file: wheel } of locked) {
        const [pythons, abi, systems] = wheel
          .replace(/\.whl$/, "")
          .split("-")
          .slice(-3);
        const suits = pythons!.split(".").some((tag) => {
          if (tag === "py3" || tag === `py3${minor}` || tag === `cp3${minor}`) return true;
          return abi === "abi3" && Number(/^cp3(\d+)$/.exec(tag)?.[1]) <= minor;
        });
        const runs = systems!.split(".").some((tag) => tag === "any" || platforms.includes(tag));
        expect([wheel, suits, runs]).toEqual([wheel, true, true]);
      }
      expect(await readFile(join(locks, file), "utf8")).not.toMatch(/https?:/);
    }
  });

  test("hold the versions that training is tested with", async () => {
    const inputs = ["requirements.in", "requirements-image.in"];
    const texts = await Promise.all(
      inputs.map((name) => readFile(join(locks, "..", name), "utf8")),
    );
    const wanted = texts
      .join("\n")
      .split("\n")
      .filter((line) => line !== "" && !/^(?:#|torch==)/.test(line));
    expect(wanted.length).toBeGreaterThan(5);
    for (const file of (await readdir(locks)).filter((name) => name.endsWith(".json"))) {
      const { wheels: locked } = await readImageLock(join(locks, file));
      const versions = locked.map(({ name, version }) => `${name}==${version}`);
      // Otherwise: node scripts/lock-images.ts
      expect(versions).toEqual(expect.arrayContaining(wanted));
    }
  });

  test("a damaged lock is told", async () => {
    const bad = { ...lock, wheels: [{ ...lock.wheels[0], file: "../../evil-1-py3-none-any.whl" }] };
    await writeFile(join(folder, "bad.json"), JSON.stringify(bad));
    await expect(readImageLock(join(folder, "bad.json"))).rejects.toMatchObject({
      code: "E_INTERNAL",
      message: expect.stringContaining("is no wheel"),
    });
  });
});
