import { spawn } from "node:child_process";
import { existsSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { downloadPrefix } from "../../src/storage/download.ts";
import { upload } from "../../src/storage/upload.ts";
import { rangeBytes, startFaults } from "./faults.ts";
import type { Fault, FaultProxy, Seen } from "./faults.ts";
import { bucket, kinds, startServer } from "./server.ts";
import type { S3Server } from "./server.ts";
import { createDesk, mib } from "./setup.ts";
import { put } from "./foreign.ts";
import type { Algorithm } from "./foreign.ts";
import type { Desk } from "./setup.ts";

// What networks, S3 and power cuts do, and that no object is wrong, no file lost and no part sent
// twice beyond those on their way. Moto checks no checksum and keeps few: what only a
// checksum tells is tried before versitygw alone.

describe.each(kinds)("faults before %s", (kind) => {
  let server: S3Server;
  let proxy: FaultProxy;
  let desk: Desk;
  let counter = 0;
  let key = "";
  let path = "";

  beforeAll(async () => {
    server = await startServer(kind);
    desk = createDesk(server);
  });
  afterAll(() => {
    desk?.close();
    server?.stop();
  });
  beforeEach(async () => {
    proxy?.stop();
    proxy = await startFaults(server);
    counter += 1;
    key = `fault-${counter}/large`;
    path = desk.file(`fault-${counter}`, 17 * mib);
  });

  const send = async (more = {}) =>
    upload(await desk.aws(proxy.url, more), [{ path, key }], { ...desk.options, ifAbsent: true });
  const fetch = async (more = {}) => {
    const folder = desk.path(`back-${counter}`);
    await downloadPrefix(
      await desk.aws(proxy.url, more),
      { prefix: `fault-${counter}/`, folder },
      desk.options,
    );
    return readFileSync(join(folder, "large"));
  };
  const requireWhole = async () => {
    proxy.fault = () => undefined;
    expect((await fetch()).equals(readFileSync(path))).toBe(true);
  };
  const on =
    (operation: string, fault: Fault, ...which: number[]) =>
    (seen: Seen) =>
      seen.operation === operation && (which.length === 0 || which.includes(seen.nth))
        ? fault
        : undefined;
  const slowDown: Fault = { answer: 503, code: "SlowDown" };
  /** A row of a table that needs a server that checks and keeps checksums. */
  const ifChecked = <Row>(row: Row) => (kind === "moto" ? [] : [row]);

  describe("what passes by itself", () => {
    test.each<[string, string, Fault, ...number[]]>([
      ["a burst of 503", "UploadPart", slowDown, 1, 2, 3, 4, 5],
      ["503 when it starts", "CreateMultipartUpload", slowDown, 1],
      ["500", "UploadPart", { answer: 500, code: "InternalError" }, 2],
      ["400 RequestTimeout", "UploadPart", { answer: 400, code: "RequestTimeout" }, 1],
      ["a connection that drops before", "UploadPart", { hangUp: "before" }, 1, 3],
      ["an answer that is lost", "UploadPart", { hangUp: "after" }, 2],
      ...ifChecked<[string, string, Fault, number]>([
        "a byte that changes on the way",
        "UploadPart",
        { flip: "request" },
        2,
      ]),
      ["a lost answer to the last request", "CompleteMultipartUpload", { hangUp: "after" }, 1],
      [
        "500 inside a 200",
        "CompleteMultipartUpload",
        {
          answer: 200,
          body: '<?xml version="1.0"?><Error><Code>InternalError</Code><Message>try again</Message></Error>',
        },
        1,
      ],
    ])("%s, while a file is sent", async (_name, operation, fault, ...which) => {
      proxy.fault = on(operation, fault, ...which);
      await send();
      expect(proxy.seen.filter(({ operation: each }) => each === operation).length).toBeGreaterThan(
        which.length,
      );
      await requireWhole();
    });

    test.each<[string, Fault, ...number[]]>([
      ["a burst of 503", slowDown, 1, 2, 3],
      ["a body that is cut", { cutAt: 3 * mib }, 1, 2],
      ["a head without a body", { cutAt: 0 }, 1],
      ["a connection that drops", { hangUp: "before" }, 2],
      ["a byte that changes on the way", { flip: "answer" }, 2],
    ])("%s, while a file is fetched", async (_name, fault, ...which) => {
      await send();
      proxy.fault = on("GetObject", fault, ...which);
      expect((await fetch()).equals(readFileSync(path))).toBe(true);
    });

    /** How many bytes each request for a range has asked for. */
    const asked = () =>
      proxy.seen.filter(({ operation }) => operation === "GetObject").map(rangeBytes);

    test("what a cut body has brought is not fetched again", async () => {
      await send();
      proxy.fault = on("GetObject", { cutAt: 3 * mib }, 1);
      await fetch();
      expect(asked().reduce((sum, each) => sum + each, 0)).toBe(17 * mib + 2 * mib);
    });

    test.each<[string, Fault]>([
      ...ifChecked<[string, Fault]>([
        "whose bytes change before a break",
        { flip: "answer", cutAt: 4000 },
      ]),
      ["that breaks off when all of it is there", { cutAt: 5000, chunked: true }],
    ])("a small object %s", async (_name, fault) => {
      const small = desk.file(`small-${counter}`, 5000);
      const from = { prefix: `small-${counter}/`, folder: desk.path(`small-back-${counter}`) };
      const aws = await desk.aws(proxy.url);
      const options = { ...desk.options, ifAbsent: true };
      await upload(aws, [{ path: small, key: `small-${counter}/x` }], options);
      proxy.fault = on("GetObject", fault, 1);
      await downloadPrefix(aws, from, desk.options);
      expect(readFileSync(join(from.folder, "x")).equals(readFileSync(small))).toBe(true);
      expect(proxy.seen.find(({ operation }) => operation === "GetObject")!.outcome).toBe("cut");
    });

    test("parts that somebody removed: once more from the start", async () => {
      const gone = on("UploadPart", { answer: 404, code: "NoSuchUpload" }, 2);
      const none = { answer: 200, body: "<ListMultipartUploadsResult/>" };
      proxy.fault = (seen) => gone(seen) ?? on("ListMultipartUploads", none)(seen);
      await send();
      expect(proxy.count("CreateMultipartUpload")).toBe(2);
      await requireWhole();
    });

    test("a clock that is a little wrong", async () => {
      const date = new Date(Date.now() + 120_000).toUTCString();
      proxy.fault = on(
        "UploadPart",
        { answer: 403, code: "RequestTimeTooSkewed", headers: { date } },
        1,
      );
      await send();
      const [first, ...later] = proxy.seen.flatMap(({ operation, headers }) =>
        operation === "UploadPart" ? [headers["x-amz-date"] as string] : [],
      );
      expect(later.some((time) => time > first!.replace(/\d\dZ$/, "59Z"))).toBe(true);
    });

    // What only a checksum tells.
    if (kind === "moto") return;

    test("a small object whose bytes change on the way", async () => {
      const small = desk.file(`small-${counter}`, 5000);
      proxy.fault = on("PutObject", { flip: "request" }, 1);
      await upload(await desk.aws(proxy.url), [{ path: small, key: `small-${counter}/x` }], {
        ...desk.options,
        ifAbsent: true,
      });
      expect(proxy.count("PutObject")).toBe(2);
      proxy.fault = on("GetObject", { flip: "answer" }, 1);
      const folder = desk.path(`small-back-${counter}`);
      const from = { prefix: `small-${counter}/`, folder };
      await downloadPrefix(await desk.aws(proxy.url), from, desk.options);
      expect(readFileSync(join(folder, "x")).equals(readFileSync(small))).toBe(true);
      expect(proxy.count("GetObject")).toBe(2);
    });

    test.each<[string, Algorithm, number, number]>([
      ["a small object with CRC-64 alone", "CRC64NVME", 1, 70_001],
      ["a large one with CRC-64 alone", "CRC64NVME", 1, 11 * mib],
      ["one in parts with CRC-64 alone", "CRC64NVME", 2, 11 * mib + 3],
      ["a small object with SHA-256 alone", "SHA256", 1, 70_001],
      ["a large one with SHA-256 alone", "SHA256", 1, 11 * mib],
      ["a small one whose checksum is that of its parts", "CRC32", 2, 9 * mib],
    ])("%s, whose bytes change on the way", async (_name, algorithm, parts, size) => {
      await put(await desk.aws(), key, desk.file("foreign", size), { algorithm, parts });
      proxy.fault = on("GetObject", { flip: "answer" }, 1);
      expect((await fetch()).equals(readFileSync(desk.path("foreign")))).toBe(true);
      proxy.fault = on("GetObject", { flip: "answer" });
      rmSync(desk.path(`back-${counter}`), { recursive: true });
      await expect(fetch()).rejects.toMatchObject({ code: "E_S3_CHECKSUM" });
    });
  });

  describe("kill -9, then the same command", () => {
    const run = (direction: "up" | "down", ...args: string[]) => {
      const child = spawn(
        process.execPath,
        [join(import.meta.dirname, "transfer.ts"), direction, ...args],
        {
          env: {
            PATH: process.env["PATH"],
            HOME: desk.folder,
            ...desk.env(proxy.url),
            MOXI_TEST_PART_BYTES: `${5 * mib}`,
            MOXI_TEST_THREADS: "2",
          },
          stdio: ["ignore", "pipe", "pipe"],
        },
      );
      const output = { out: "", err: "" };
      child.stdout.on("data", (chunk: Buffer) => (output.out += chunk.toString()));
      child.stderr.on("data", (chunk: Buffer) => (output.err += chunk.toString()));
      const ended = new Promise<{ code: number | null; out: string; err: string }>((resolve) => {
        child.once("close", (code) => resolve({ code, ...output }));
      });
      return { child, ended };
    };

    test.each([1, 3])("at range %s, while fetching", async (nth) => {
      await send();
      const folder = desk.path(`killed-back-${counter}`);
      rmSync(folder, { recursive: true, force: true });
      const source = `s3://${bucket.name}/fault-${counter}/`;
      const first = run("down", source, folder);
      proxy.fault = (seen) => {
        if (seen.operation !== "GetObject" || seen.nth !== nth) return undefined;
        // The ranges before have time to be written down.
        setTimeout(() => first.child.kill("SIGKILL"), 100);
        return { cutAt: 1000 };
      };
      expect((await first.ended).code).toBe(null);
      expect(readdirSync(folder).filter((name) => !name.startsWith(".moxi-"))).toEqual([]);
      proxy.fault = () => undefined;
      const second = await run("down", source, folder).ended;
      expect(second).toMatchObject({ code: 0, err: "" });
      expect(readFileSync(join(folder, "large")).equals(readFileSync(path))).toBe(true);
      expect(readdirSync(folder)).toEqual(["large"]);
    });

    // An upload goes on by the checksums of its parts, which moto does not keep.
    if (kind === "moto") return;

    test.each<[string, string, number, "call" | "hang"]>([
      ["at the first part", "UploadPart", 1, "call"],
      ["between parts", "UploadPart", 3, "call"],
      ["before it is finished", "CompleteMultipartUpload", 1, "hang"],
      ["after it is finished", "CompleteMultipartUpload", 1, "call"],
    ])("%s, while sending", async (_name, operation, nth, how) => {
      const source = path;
      const target = `s3://${bucket.name}/fault-${counter}/`;
      const first = run("up", source, target);
      proxy.fault = on(
        operation,
        how === "call" ? { call: () => first.child.kill("SIGKILL") } : { hangUp: "before" },
        nth,
      );
      if (how === "hang") {
        const inner = proxy.fault;
        proxy.fault = (seen) => {
          const fault = inner(seen);
          if (fault !== undefined) first.child.kill("SIGKILL");
          return fault;
        };
      }
      expect((await first.ended).code).toBe(null);
      const stored = new Set(
        proxy.seen.flatMap(({ part, outcome }) =>
          outcome === 200 && part !== undefined ? [part] : [],
        ),
      );
      const before = proxy.seen.length;
      proxy.fault = () => undefined;
      const second = await run("up", source, target).ended;
      expect(second).toMatchObject({ code: 0, err: "" });
      const again = proxy.seen.slice(before).flatMap(({ part }) => part ?? []);
      const finished = operation === "CompleteMultipartUpload" && how === "call";
      // What S3 had is not sent again, unless the object was finished and is replaced.
      const twice = finished ? [] : again.filter((part) => stored.has(part));
      expect(twice).toEqual([]);
      key = `fault-${counter}/large`;
      const folder = desk.path(`killed-${counter}`);
      await downloadPrefix(await desk.aws(), { prefix: `fault-${counter}/`, folder }, desk.options);
      expect(readFileSync(join(folder, `fault-${counter}`)).equals(readFileSync(path))).toBe(true);
    });
  });

  // An answer that the proxy itself gives for ever is the same before every server.
  if (kind === "moto") return;

  describe("what does not pass", () => {
    test.each<[string, string, Fault, string, number]>([
      [
        "credentials that expired",
        "UploadPart",
        { answer: 400, code: "ExpiredToken" },
        "E_AWS_EXPIRED",
        4,
      ],
      [
        "permission",
        "CreateMultipartUpload",
        { answer: 403, code: "AccessDenied" },
        "E_AWS_DENIED",
        4,
      ],
      [
        "permission for a part",
        "UploadPart",
        { answer: 403, code: "AccessDenied" },
        "E_AWS_DENIED",
        4,
      ],
      [
        "an unknown key",
        "UploadPart",
        { answer: 403, code: "InvalidAccessKeyId" },
        "E_AWS_CREDENTIALS",
        4,
      ],
      [
        "a clock that is very wrong",
        "UploadPart",
        { answer: 403, code: "RequestTimeTooSkewed" },
        "E_AWS_CLOCK",
        4,
      ],
      [
        "no bucket",
        "CreateMultipartUpload",
        { answer: 404, code: "NoSuchBucket" },
        "E_S3_BUCKET",
        2,
      ],
      [
        "another region",
        "UploadPart",
        { answer: 301, code: "PermanentRedirect", headers: { "x-amz-bucket-region": "eu-west-1" } },
        "E_AWS_REGION",
        2,
      ],
      ["503 without end", "UploadPart", slowDown, "E_AWS_THROTTLED", 8],
      [
        "500 without end",
        "UploadPart",
        { answer: 500, code: "InternalError" },
        "E_AWS_UNAVAILABLE",
        8,
      ],
      ["a line that drops without end", "UploadPart", { hangUp: "before" }, "E_NETWORK", 8],
      ["bytes that always change", "UploadPart", { flip: "request" }, "E_S3_CHECKSUM", 8],
      [
        "parts that always vanish",
        "UploadPart",
        { answer: 404, code: "NoSuchUpload" },
        "E_S3_UPLOAD_GONE",
        8,
      ],
    ])("%s ends a sending clearly", async (_name, operation, fault, code, exitCode) => {
      proxy.fault = on(operation, fault);
      const error = await send().catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code, exitCode });
      expect((error as { hint: string }).hint).not.toBe("");
      expect((error as Error).message).toContain(`s3://${bucket.name}/${key}`);
      // Nothing appears, and after the trouble the same command finishes.
      proxy.fault = () => undefined;
      expect(await (await (await desk.aws()).s3()).head(bucket, key)).toBeUndefined();
      await send();
      await requireWhole();
    });

    test.each<[string, Fault, string, number]>([
      ["permission", { answer: 403, code: "AccessDenied" }, "E_AWS_DENIED", 4],
      ["503 without end", slowDown, "E_AWS_THROTTLED", 8],
      ["a line that drops without end", { cutAt: 0 }, "E_NETWORK", 8],
      ["bytes that always change", { flip: "answer" }, "E_S3_CHECKSUM", 8],
      [
        "an object that is another by now",
        { answer: 412, code: "PreconditionFailed" },
        "E_S3_CHANGED",
        8,
      ],
    ])("%s ends a fetching clearly, and no file appears", async (_name, fault, code, exitCode) => {
      await send();
      proxy.fault = on("GetObject", fault);
      await expect(fetch()).rejects.toMatchObject({ code, exitCode });
      // A folder in which nothing is left goes too.
      const folder = desk.path(`back-${counter}`);
      const left = existsSync(folder) ? readdirSync(folder) : [];
      expect(left.filter((name) => !name.startsWith(".moxi-"))).toEqual([]);
      await requireWhole();
    });

    test("a certificate that nobody vouches for is named, with the way out", async () => {
      await expect(send({ AWS_CA_BUNDLE: "" })).rejects.toMatchObject({
        code: "E_TLS",
        exitCode: 2,
        hint: expect.stringContaining("AWS_CA_BUNDLE"),
      });
    });
  });
});
