import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { ObjectInfo } from "../../src/aws/s3.ts";
import { uploadContent } from "../../src/storage/content.ts";
import { download, downloadPrefix } from "../../src/storage/download.ts";
import { hiddenName, readHidden, tagsOf } from "../../src/storage/hidden.ts";
import { upload } from "../../src/storage/upload.ts";
import { startFaults } from "./faults.ts";
import type { Fault, FaultProxy } from "./faults.ts";
import { bucket, kinds, startServer } from "./server.ts";
import type { S3Server } from "./server.ts";
import { createDesk, mib } from "./setup.ts";
import type { Desk } from "./setup.ts";

test("a server is there to test against", () => {
  expect(kinds).not.toEqual([]);
});

describe.each(kinds)("%s", (kind) => {
  let server: S3Server;
  let proxy: FaultProxy;
  let desk: Desk;

  beforeAll(async () => {
    server = await startServer(kind);
    proxy = await startFaults(server);
    desk = createDesk(server);
  });
  afterAll(() => {
    proxy?.stop();
    desk?.close();
    server?.stop();
  });

  test.each([0, 2])(
    "files of all sizes go there and come back, with %s threads",
    async (threads) => {
      const sizes = { empty: 0, one: 1, small: 70_000, part: 5 * mib, large: 12 * mib + 17 };
      const names = Object.keys(sizes).map((name) => `folder é ${name}/a b+c%&=!'()*;:@,$~.bin`);
      const prefix = `round-${threads}/`;
      const files = Object.values(sizes).map((size, index) => ({
        path: desk.file(`${prefix}${names[index]}`, size),
        key: `${prefix}${names[index]}`,
      }));
      const aws = await desk.aws();
      const options = { ...desk.options, threads };
      const sent = await upload(aws, files, { ...options, ifAbsent: true });
      expect(sent).toMatchObject({ files: 5, resumedBytes: 0 });
      const folder = desk.path(`back-${threads}`);
      await downloadPrefix(aws, { prefix, folder }, options);
      for (const [index, name] of names.entries()) {
        expect(
          readFileSync(join(folder, name)).equals(readFileSync(files[index]!.path)),
          name,
        ).toBe(true);
      }
      const left = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) =>
        name.includes(".moxi"),
      );
      expect(left).toEqual([]);
    },
  );

  test("the same content is sent once: then one list, and the files are not read", async () => {
    const files = [
      { path: desk.file("content/train.jsonl", 3 * mib), name: "train.jsonl" },
      { path: desk.file("content/eval.jsonl", 100), name: "eval.jsonl" },
    ];
    const options = { ...desk.options, prefix: "data/", cacheFile: desk.path("hashes.json") };
    const first = await uploadContent(await desk.aws(), files, options);
    expect(first).toMatchObject({ sentFiles: 2, sentBytes: 3 * mib + 100 });
    const before = proxy.seen.length;
    const second = await uploadContent(await desk.aws(proxy.url), files, options);
    expect(second).toEqual({ ...first, sentFiles: 0, sentBytes: 0 });
    expect(proxy.seen.slice(before).map(({ operation }) => operation)).toEqual(["ListObjects"]);

    writeFileSync(files[1]!.path, "other");
    const third = await uploadContent(await desk.aws(), files, options);
    expect(third.prefix).not.toBe(first.prefix);
  });

  test("uploads of ours that were broken off a week ago are given up, and no others", async () => {
    const aws = await desk.aws();
    const s3 = await aws.s3();
    for (const key of ["stale/data/old/a", "stale/data/old/b", "stale/other/c"]) {
      await s3.startUpload(bucket, key);
    }
    const file = { path: desk.file("stale", 100), name: "rows.jsonl" };
    const send = async (days: number, content: number) => {
      desk.file("stale", content);
      const clock = { now: () => new Date(Date.now() + days * 24 * 3600_000) };
      const cacheFile = desk.path("stale.json");
      const prefix = "stale/data/";
      await uploadContent(aws, [file], { ...desk.options, clock, cacheFile, prefix });
      return (await s3.unfinished(bucket, "stale/")).map(({ key }) => key).sort();
    };
    // Moto dates all of them to 2010.
    const young = ["stale/data/old/a", "stale/data/old/b", "stale/other/c"];
    const before = kind === "versitygw" ? await send(6.9, 101) : young;
    expect(before).toEqual(young);
    expect(await send(7.1, 102)).toEqual(["stale/other/c"]);
    expect(desk.notices.at(-1)).toMatchObject({ type: "info", text: expect.stringContaining("2") });
  });

  test("uploads of the very object that has been sent are given up too, after a week", async () => {
    const aws = await desk.aws();
    const s3 = await aws.s3();
    for (const key of ["again/large", "again/large/other"]) await s3.startUpload(bucket, key);
    const path = desk.file("again", 6 * mib);
    const send = async (days: number) => {
      const clock = { now: () => new Date(Date.now() + days * 24 * 3600_000) };
      await upload(aws, [{ path, key: "again/large" }], {
        ...desk.options,
        clock,
        ifAbsent: false,
      });
      return (await s3.unfinished(bucket, "again/")).map(({ key }) => key).sort();
    };
    // Moto dates all of them to 2010.
    const young = ["again/large", "again/large/other"];
    const before = kind === "versitygw" ? await send(6.9) : young;
    expect(before).toEqual(young);
    expect(await send(7.1)).toEqual(["again/large/other"]);
  });

  test("every request names the bucket's owner, every new object its key", async () => {
    const owner = "123456789012";
    const kmsKeyId = "arn:aws:kms:us-east-1:123456789012:key/0f1e2d3c-0000-4000-8000-0123456789ab";
    const options = { ...desk.options, bucket: { ...bucket, owner, kmsKeyId }, ifAbsent: true };
    const files = [
      { path: desk.file("kms-small", 10), key: "kms/small" },
      { path: desk.file("kms-large", 6 * mib), key: "kms/large" },
    ];
    const aws = await desk.aws(proxy.url);
    const from = proxy.seen.length;
    // A server that knows neither owners nor keys refuses: what it was asked is what counts.
    proxy.fault = ({ operation }) =>
      operation === "ListMultipartUploads"
        ? { answer: 200, body: "<ListMultipartUploadsResult/>" }
        : undefined;
    for (const file of files) await upload(aws, [file], options).catch(() => {});
    const folder = desk.path("kms-back");
    await downloadPrefix(aws, { prefix: "kms/", folder }, options).catch(() => {});
    proxy.fault = () => undefined;
    const seen = proxy.seen.slice(from);
    expect(new Set(seen.map(({ headers }) => headers["x-amz-expected-bucket-owner"]))).toEqual(
      new Set([owner]),
    );
    const encrypted = seen.filter(
      ({ headers }) => headers["x-amz-server-side-encryption"] === "aws:kms",
    );
    expect(new Set(encrypted.map(({ operation }) => operation))).toEqual(
      new Set(["PutObject", "CreateMultipartUpload"]),
    );
    for (const { headers } of encrypted) {
      expect(headers["x-amz-server-side-encryption-aws-kms-key-id"]).toBe(kmsKeyId);
    }
  });

  test("every request for bytes names the version that was found, also after a break", async () => {
    const sizes = { small: 5000, large: 11 * mib };
    const files = Object.entries(sizes).map(([name, size]) => {
      return { path: desk.file(`version-${name}`, size), key: `version/${name}` };
    });
    const aws = await desk.aws();
    await upload(aws, files, { ...desk.options, ifAbsent: false });
    const many = await startFaults(server);
    try {
      many.fault = ({ operation, nth }) =>
        operation === "GetObject" && nth <= 2 ? { cutAt: 1000 } : undefined;
      const from = { prefix: "version/", folder: desk.path("version-back") };
      await downloadPrefix(await desk.aws(many.url), from, desk.options);
    } finally {
      many.stop();
    }
    const gets = many.seen.filter(({ operation }) => operation === "GetObject");
    // The small one whole, the large one in three ranges, and two that go on after a break.
    expect(gets).toHaveLength(1 + 3 + 2);
    const objects = await (await aws.s3()).list(bucket, "version/");
    const etags = new Map(objects.map(({ key, etag }) => [key, etag]));
    expect(gets.map(({ headers }) => headers["if-match"])).toEqual(
      gets.map(({ key }) => etags.get(key)),
    );
  });

  test("no request of an upload waits for leave to send its body", async () => {
    const sizes = { empty: 0, small: 5000, large: 11 * mib };
    const files = Object.entries(sizes).map(([name, size]) => {
      return { path: desk.file(`leave-${name}`, size), key: `leave/${name}` };
    });
    const from = proxy.seen.length;
    await upload(await desk.aws(proxy.url), files, { ...desk.options, ifAbsent: false });
    const seen = proxy.seen.slice(from);
    expect(new Set(seen.map(({ operation }) => operation))).toContain("CompleteMultipartUpload");
    expect(seen.filter(({ headers }) => "expect" in headers)).toEqual([]);
  });

  test("nor does one whose body is a long list of parts", async () => {
    const many = await startFaults(server);
    // It is longer than what is kept of a request to be held against AWS's models.
    vi.stubEnv("CONTRACT_RECORD", undefined);
    try {
      many.fault = () => ({ answer: 200, body: "<CompleteMultipartUploadResult/>" });
      const s3 = await (await desk.aws(many.url)).s3();
      // From 2 MiB on the SDK would wait: as many parts as there can be, with longer ETags than S3's.
      const parts = Array.from({ length: 10_000 }, (_, index) => {
        return { number: index + 1, size: 5 * mib, etag: "e".repeat(200), crc: "AAAAAA==" };
      });
      const whole = { id: "id", parts, crc: "AAAAAA==", size: 50_000 * mib, ifAbsent: false };
      await s3.finishUpload(bucket, "leave/parts", whole);
    } finally {
      vi.unstubAllEnvs();
      many.stop();
    }
    expect(many.seen).toHaveLength(1);
    const { bytes, headers } = many.seen[0]!;
    expect(bytes).toBeGreaterThan(2 * mib);
    expect(headers).not.toHaveProperty("expect");
  });

  test("an object is not replaced where that is not wanted, unless it is the same", async () => {
    const path = desk.file("keep", 1000);
    const big = desk.file("keep-big", 6 * mib);
    const files = [
      { path, key: "keep/small" },
      { path: big, key: "keep/big" },
    ];
    const aws = await desk.aws();
    const options = { ...desk.options, ifAbsent: true };
    await upload(aws, files, options);
    await upload(aws, files, options);
    // Moto keeps no checksums, so that only the size tells.
    if (kind === "moto") return;
    desk.file("keep", 1000);
    await expect(upload(aws, files, options)).rejects.toMatchObject({ code: "E_S3_EXISTS" });
    desk.file("keep-big", 6 * mib);
    await expect(upload(aws, files.slice(1), options)).rejects.toMatchObject({
      code: "E_S3_EXISTS",
    });
    // Nothing of it is left behind to pay for.
    const s3 = await aws.s3();
    expect(await s3.unfinished(bucket, "keep/big")).toEqual([]);
  });

  test("a transfer tells bytes, rate and what is left", async () => {
    const path = desk.file("told", 11 * mib);
    let time = 0;
    desk.notices.length = 0;
    const clock = { now: () => new Date((time += 250)) };
    await upload(await desk.aws(), [{ path, key: "told" }], {
      ...desk.options,
      clock,
      ifAbsent: false,
    });
    const tasks = desk.notices.filter(({ type }) => type === "task");
    expect(tasks[0]).toMatchObject({ id: "upload", state: "started", text: "1 file, 11.5 MB" });
    expect(tasks.at(-1)).toMatchObject({ state: "done", text: "11.5 MB sent to s3://moxi-test" });
    expect(tasks.find(({ type, ...task }) => type === "task" && "fraction" in task)).toMatchObject({
      transfer: { totalBytes: 11 * mib, bytesPerSecond: expect.any(Number) },
    });
  });

  test("a proxy is gone through, except for hosts that NO_PROXY names", async () => {
    const asked: string[] = [];
    const open = new Set<Socket>();
    const gateway = createServer().on("connect", (request, socket: Socket) => {
      asked.push(`${request.url} ${request.headers["proxy-authorization"] ?? ""}`);
      const [host, port] = request.url!.split(":");
      const onward = connect(Number(port), host, () => {
        socket.write("HTTP/1.1 200 OK\r\n\r\n");
        socket.pipe(onward).pipe(socket);
      });
      open.add(socket).add(onward);
      for (const one of [socket, onward]) one.on("error", () => {});
    });
    await new Promise<void>((resolve) => gateway.listen(0, "127.0.0.1", resolve));
    const { port } = gateway.address() as AddressInfo;
    const address = `http://user:p%40ss@127.0.0.1:${port}`;
    const variable = server.tls === undefined ? "HTTP_PROXY" : "HTTPS_PROXY";
    const path = desk.file("by-proxy", 6 * mib);
    const options = { ...desk.options, ifAbsent: false };
    const files = [{ path, key: "by-proxy" }];
    await upload(await desk.aws(undefined, { [variable]: address }), files, options);
    await downloadPrefix(
      await desk.aws(undefined, { [variable]: address }),
      { prefix: "by-proxy", folder: desk.path("by-proxy-back") },
      desk.options,
    ).catch(() => {});
    expect(asked.length).toBeGreaterThan(1);
    const login = Buffer.from("user:p@ss").toString("base64");
    expect(new Set(asked)).toEqual(new Set([`127.0.0.1:${server.port} Basic ${login}`]));

    const before = asked.length;
    const none = { [variable]: address, NO_PROXY: "example.com, 127.0.0.1" };
    await upload(await desk.aws(undefined, none), files, options);
    expect(asked.length).toBe(before);
    for (const socket of open) socket.destroy();
    gateway.close();
  });

  test("a file that changes while it is sent is refused, and nothing of it is left", async () => {
    const path = desk.file("moving", 12 * mib);
    proxy.fault = ({ operation, nth }) =>
      operation === "UploadPart" && nth % 3 === 1
        ? { call: () => utimesSync(path, new Date(), new Date(0)) }
        : undefined;
    const aws = await desk.aws(proxy.url);
    const sending = upload(aws, [{ path, key: "moving" }], { ...desk.options, ifAbsent: false });
    await expect(sending).rejects.toMatchObject({ code: "E_FILE_CHANGED", place: { file: path } });
    proxy.fault = () => undefined;
    const s3 = await aws.s3();
    expect(await s3.head(bucket, "moving")).toBeUndefined();
    expect(await s3.unfinished(bucket, "moving")).toEqual([]);
  });

  /** S3's answer to a list, in two pages, of which the second comes when told; a third may follow. */
  const listInPages = (
    first: readonly ObjectInfo[],
    second: Promise<readonly ObjectInfo[]>,
    third = false,
  ): FaultProxy["fault"] => {
    const page = (objects: readonly ObjectInfo[], token: string): Fault => {
      const contents = objects.map(({ key, size, etag }) => {
        const name = encodeURIComponent(key).replaceAll("%2F", "/");
        const tag = etag.replaceAll('"', "&quot;");
        return `<Contents><Key>${name}</Key><ETag>${tag}</ETag><Size>${size}</Size></Contents>`;
      });
      return {
        answer: 200,
        body: `<?xml version="1.0"?><ListBucketResult><EncodingType>url</EncodingType>${token}${contents.join("")}</ListBucketResult>`,
      };
    };
    const more =
      "<NextContinuationToken>next</NextContinuationToken><IsTruncated>true</IsTruncated>";
    return ({ operation, nth }) => {
      if (operation !== "ListObjects") return undefined;
      return nth % 2 === 1
        ? page(first, more)
        : { later: second.then((objects) => page(objects, third ? more : "")) };
    };
  };

  test("the first objects are fetched while the rest is listed, and get their names after it", async () => {
    const s3 = await (await desk.aws()).s3();
    const files = ["a/1", "a/2", "b"].map((name) => ({
      path: desk.file(`paged/${name}`, 1000),
      key: `paged/${name}`,
    }));
    await upload(await desk.aws(), files, { ...desk.options, ifAbsent: false });
    const objects = await s3.list(bucket, "paged/");
    const folder = desk.path("paged-back");
    const sizeOf = (name: string) =>
      readdirSync(join(folder, name)).map((file) => statSync(join(folder, name, file)).size);
    const fetched = async () => {
      while (!existsSync(join(folder, "a")) || sizeOf("a").join() !== "1000,1000") await sleep(5);
      // Long enough for names that come too early.
      await sleep(200);
      return readdirSync(folder, { recursive: true, encoding: "utf8" });
    };
    // A clock that jumps by ten seconds while the list takes its time.
    let time = 0;
    const clock = { now: () => new Date((time += 1)) };
    desk.notices.length = 0;
    const early = fetched().finally(() => (time += 10_000));
    const under = new Set<string>();
    const many = await startFaults(server);
    try {
      const list = listInPages(
        objects.slice(0, 2),
        early.then(() => objects.slice(2)),
      );
      many.fault = (seen) => {
        if (seen.operation === "GetObject") {
          for (const name of readdirSync(join(folder, "a"))) under.add(name);
        }
        return list(seen);
      };
      const aws = await desk.aws(many.url);
      await downloadPrefix(aws, { prefix: "paged/", folder }, { ...desk.options, clock });
    } finally {
      many.stop();
    }
    expect((await early).filter((name) => !name.includes(".moxi-"))).toEqual(["a"]);
    const tasks = desk.notices.filter(({ type }) => type === "task");
    expect(tasks[0]).toMatchObject({ id: "download", state: "started", text: "3 files, 3.0 kB" });
    expect(tasks[1]).toMatchObject({
      transfer: { bytes: 2000, totalBytes: 3000, bytesPerSecond: 200, secondsLeft: 5 },
    });
    expect(tasks.at(-1)).toMatchObject({
      state: "done",
      text: "3.0 kB fetched from s3://moxi-test",
    });
    // What a kill leaves says what it was to become.
    const hidden = [...under].filter((name) => name.startsWith(".")).map(readHidden);
    const tags = objects.slice(0, 2).map(({ key, etag }) => tagsOf(basename(key), etag));
    expect(hidden).toHaveLength(2);
    expect(hidden).toEqual(
      expect.arrayContaining(tags.map((each) => expect.objectContaining(each))),
    );
    const found = readdirSync(folder, { recursive: true, encoding: "utf8" });
    expect(found.sort()).toEqual(["a", "a/1", "a/2", "b"]);
    for (const { path, key } of files) {
      expect(readFileSync(join(folder, key.slice(6)))).toEqual(readFileSync(path));
    }
  });

  test("a small file whose hidden one is taken away: that is told, and an old one stays", async () => {
    const path = desk.file("taken/x", 3000);
    await upload(await desk.aws(), [{ path, key: "taken/x" }], {
      ...desk.options,
      ifAbsent: false,
    });
    const folder = desk.path("taken-back");
    const proxy = await startFaults(server);
    try {
      mkdirSync(folder);
      writeFileSync(join(folder, "x"), "old");
      proxy.fault = ({ operation, nth }) => {
        if (operation !== "GetObject") return undefined;
        expect(nth).toBe(1);
        for (const name of readdirSync(folder)) if (name !== "x") rmSync(join(folder, name));
        return undefined;
      };
      const aws = await desk.aws(proxy.url);
      const fetching = downloadPrefix(aws, { prefix: "taken/", folder }, desk.options);
      await expect(fetching).rejects.toMatchObject({
        code: "E_FILE_CHANGED",
        hint: expect.stringContaining("cleans up this folder"),
      });
      expect(readFileSync(join(folder, "x"), "utf8")).toBe("old");
      expect(readdirSync(folder)).toEqual(["x"]);
    } finally {
      proxy.stop();
    }
  });

  test("two downloads of small files to one folder at once", async () => {
    const files = Array.from({ length: 150 }, (_, index) => {
      const key = `twice/${index}`;
      return { path: desk.file(key, 3000), key };
    });
    await upload(await desk.aws(), files, { ...desk.options, ifAbsent: false });
    const folder = desk.path("twice-back");
    const fetch = async () =>
      downloadPrefix(await desk.aws(), { prefix: "twice/", folder }, desk.options);
    await Promise.all([fetch(), fetch()]);
    expect(readdirSync(folder)).toHaveLength(150);
    for (const { path, key } of files) {
      expect(readFileSync(join(folder, key.slice(6)))).toEqual(readFileSync(path));
    }
  });

  test.each<readonly [string, Partial<ObjectInfo>, string]>([
    ["a hostile name", { key: "late/a/../../up" }, "E_FILE_NAME"],
    ["a second name for one place", { key: "late/A/1" }, "E_FILE_NAME"],
    ["more than the disk holds", { key: "late/b", size: 2 ** 52 }, "E_DISK_FULL"],
  ])("%s at the end of a long list leaves nothing behind", async (_what, last, code) => {
    const path = desk.file("late/a/1", 1000);
    const aws = await desk.aws();
    await upload(aws, [{ path, key: "late/a/1" }], { ...desk.options, ifAbsent: false });
    const objects = await (await aws.s3()).list(bucket, "late/");
    const folder = desk.path("late-back/new");
    const gone = async () => {
      while (!existsSync(join(folder, "a")) || readdirSync(join(folder, "a")).length === 0) {
        await sleep(5);
      }
      return [{ ...objects[0]!, ...last }];
    };
    const many = await startFaults(server);
    try {
      many.fault = listInPages(objects, gone());
      const fetching = downloadPrefix(
        await desk.aws(many.url),
        { prefix: "late/", folder },
        desk.options,
      );
      await expect(fetching).rejects.toMatchObject({ code });
    } finally {
      many.stop();
    }
    expect(existsSync(desk.path("late-back"))).toBe(false);
  });

  test.each([1, 2])(
    "an object whose place a folder has, on page %s of a list: the folder stays, nothing else",
    async (page) => {
      const aws = await desk.aws();
      const prefix = `taken-${page}/`;
      const files = ["a", "b"].map((name) => ({
        path: desk.file(`${prefix}${name}`, 1000),
        key: `${prefix}${name}`,
      }));
      await upload(aws, files, { ...desk.options, ifAbsent: false });
      const [a, b] = await (await aws.s3()).list(bucket, prefix);
      const folder = desk.path(`taken-back-${page}`);
      mkdirSync(join(folder, "a"), { recursive: true });
      const many = await startFaults(server);
      try {
        many.fault = listInPages([page === 1 ? a! : b!], Promise.resolve([page === 1 ? b! : a!]));
        const from = { prefix, folder };
        const fetching = downloadPrefix(await desk.aws(many.url), from, desk.options);
        const text = `${join(folder, "a")} is a folder, and a file is to be written there`;
        await expect(fetching).rejects.toMatchObject({ code: "E_USAGE", message: text });
      } finally {
        many.stop();
      }
      expect(readdirSync(folder).filter((name) => name.startsWith("."))).toEqual([]);
      expect(readdirSync(join(folder, "a"))).toEqual([]);
    },
  );

  test("a list of many quick pages is told to whoever waits", async () => {
    const aws = await desk.aws();
    const path = desk.file("quick", 10);
    await upload(aws, [{ path, key: "quick/0" }], { ...desk.options, ifAbsent: false });
    const s3 = await aws.s3();
    const objects = await s3.list(bucket, "quick/");
    const told: (string | null)[] = [];
    const listPages = async function* () {
      while (told.length === 0) {
        yield [];
        await sleep(5);
      }
      yield objects;
    };
    const slow = { ...aws, s3: async () => ({ ...s3, listPages }) };
    const host = { ...desk.options.host, waiting: (what: string | null) => told.push(what) };
    const from = { prefix: "quick/", folder: desk.path("quick-back") };
    await downloadPrefix(slow, from, { ...desk.options, host });
    expect(told).toEqual(["AWS: list s3://moxi-test/quick/", null]);
  });

  test("an object that is called like what a download gathers in is left out, as it is not sent", async () => {
    const aws = await desk.aws();
    const s3 = await aws.s3();
    const path = desk.file("alike", 1000);
    await upload(aws, [{ path, key: "alike/x" }], { ...desk.options, ifAbsent: false });
    const [object] = await s3.list(bucket, "alike/");
    const key = hiddenName("alike/x", object!.etag, "1-0123456789abcdef-0123456789abcdef-01234567");
    const other = desk.file("other", 1000);
    const files = [key, `${key}.done`].map((each) => ({ path: other, key: each }));
    await upload(aws, files, { ...desk.options, ifAbsent: false });
    const folder = desk.path("alike-back");
    await downloadPrefix(aws, { prefix: "alike/", folder }, desk.options);
    expect(readdirSync(folder)).toEqual(["x"]);
    expect(readFileSync(join(folder, "x"))).toEqual(readFileSync(path));
  });

  test("a download that fails ends a list that would never end, and leaves nothing", async () => {
    const aws = await desk.aws(proxy.url);
    const path = desk.file("endless", 10);
    await upload(aws, [{ path, key: "endless/0" }], { ...desk.options, ifAbsent: false });
    const s3 = await aws.s3();
    const [object] = await s3.list(bucket, "endless/");
    let ended = false;
    const listPages = async function* () {
      try {
        for (let page = 0; ; page++) {
          yield [{ ...object!, key: `endless/${page}` }];
          await sleep(1);
        }
      } finally {
        ended = true;
      }
    };
    const endless = { ...aws, s3: async () => ({ ...s3, listPages }) };
    const folder = desk.path("endless-back");
    // Only the first is there.
    const fetching = downloadPrefix(endless, { prefix: "endless/", folder }, desk.options);
    await expect(fetching).rejects.toMatchObject({ code: "E_AWS_NOT_FOUND" });
    expect([ended, existsSync(folder)]).toEqual([true, false]);
  });

  test("a list that fails on its third page leaves nothing of what was fetched", async () => {
    const aws = await desk.aws();
    const files = ["a/1", "b/2"].map((name) => ({
      path: desk.file(`third/${name}`, 1000),
      key: `third/${name}`,
    }));
    await upload(aws, files, { ...desk.options, ifAbsent: false });
    const objects = await (await aws.s3()).list(bucket, "third/");
    const folder = desk.path("third-back");
    mkdirSync(join(folder, "a"), { recursive: true });
    writeFileSync(join(folder, "a/mine"), "mine");
    const hidden = (name: string) =>
      existsSync(join(folder, name)) &&
      readdirSync(join(folder, name)).some((each) => each.startsWith("."));
    const failing = async (): Promise<Fault> => {
      while (!hidden("a") || !hidden("b")) await sleep(5);
      return { answer: 403, code: "AccessDenied" };
    };
    const many = await startFaults(server);
    try {
      const list = listInPages(objects.slice(0, 1), Promise.resolve(objects.slice(1)), true);
      many.fault = (seen) =>
        seen.operation === "ListObjects" && seen.nth === 3 ? { later: failing() } : list(seen);
      const from = { prefix: "third/", folder };
      const fetching = downloadPrefix(await desk.aws(many.url), from, desk.options);
      await expect(fetching).rejects.toMatchObject({ code: "E_AWS_DENIED" });
    } finally {
      many.stop();
    }
    expect(readdirSync(folder, { recursive: true, encoding: "utf8" }).sort()).toEqual([
      "a",
      "a/mine",
    ]);
  });

  test("where the list ends in an error, what has not been asked for is not", async () => {
    const many = await startFaults(server);
    try {
      let release = () => {};
      const released = new Promise<void>((resolve) => (release = resolve));
      let asked = () => {};
      const allAsked = new Promise<void>((resolve) => (asked = resolve));
      many.fault = ({ nth }) => {
        if (nth === 64) asked();
        return { later: released.then(() => ({ answer: 404, code: "NoSuchKey" })) };
      };
      const aws = await desk.aws(many.url);
      const s3 = await aws.s3();
      const objects = Array.from({ length: 200 }, (_, index) => {
        return { key: `unasked/${index}`, size: 10, etag: '"tag"' };
      });
      const listPages = async function* () {
        yield objects;
        await allAsked;
        setImmediate(release);
        yield [{ ...objects[0]!, key: "unasked/.." }];
      };
      const listing = { ...aws, s3: async () => ({ ...s3, listPages }) };
      const folder = desk.path("unasked-back");
      const fetching = downloadPrefix(listing, { prefix: "unasked/", folder }, desk.options);
      await expect(fetching).rejects.toMatchObject({ code: "E_FILE_NAME" });
      expect(many.count("GetObject")).toBe(64);
      expect(existsSync(folder)).toBe(false);
    } finally {
      many.stop();
    }
  });

  test("a file that lies where a folder has to be is named, and stays", async () => {
    const aws = await desk.aws();
    const files = ["in/the/way", "first"].map((name) => ({
      path: desk.file(`blocked/${name}`, 1000),
      key: `blocked/${name}`,
    }));
    await upload(aws, files, { ...desk.options, ifAbsent: false });
    const folder = desk.path("blocked-back");
    for (const name of ["in", "in/the"]) {
      rmSync(folder, { recursive: true, force: true });
      mkdirSync(join(folder, dirname(name)), { recursive: true });
      writeFileSync(join(folder, name), "mine");
      const fetching = downloadPrefix(aws, { prefix: "blocked/", folder }, desk.options);
      await expect(fetching).rejects.toMatchObject({
        code: "E_USAGE",
        message: expect.stringContaining("has to be a folder, and a file lies in its way"),
        place: { file: join(folder, "in/the") },
      });
      expect(readFileSync(join(folder, name), "utf8")).toBe("mine");
      expect(existsSync(join(folder, "first"))).toBe(false);
    }
  });

  test("files for which the disk is too small leave no folder", async () => {
    const path = desk.file("wide", 1000);
    const aws = await desk.aws();
    await upload(aws, [{ path, key: "wide/a" }], { ...desk.options, ifAbsent: false });
    const [object] = await (await aws.s3()).list(bucket, "wide/");
    const file = desk.path("wide-back/a/b/c");
    const fetching = download(aws, [{ ...object!, size: 2 ** 52, file }], desk.options);
    await expect(fetching).rejects.toMatchObject({ code: "E_DISK_FULL" });
    expect(existsSync(desk.path("wide-back"))).toBe(false);
  });

  test("hostile names are refused before anything is written", async () => {
    const path = desk.file("hostile", 10);
    const aws = await desk.aws();
    for (const [index, name] of ["ok/new\nline", "ok/\u001b[31m", "ok\\..\\up"].entries()) {
      const prefix = `hostile-${index}/`;
      const keys = [`${prefix}first`, `${prefix}${name}`];
      // What a server itself refuses cannot come from it.
      const put = upload(
        aws,
        keys.map((key) => ({ path, key })),
        { ...desk.options, ifAbsent: false },
      );
      if (
        (await put.then(
          () => true,
          () => false,
        )) === false
      )
        continue;
      const folder = desk.path(`hostile-back-${index}`);
      await expect(downloadPrefix(aws, { prefix, folder }, desk.options)).rejects.toMatchObject({
        code: "E_FILE_NAME",
        exitCode: 2,
      });
      expect(() => readdirSync(folder)).toThrow(/ENOENT/);
    }
  });
});
