import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startFaults } from "./faults.ts";
import type { Fault, FaultProxy } from "./faults.ts";
import { bucket, kinds, startServer } from "./server.ts";
import type { S3Server } from "./server.ts";
import { createDesk } from "./setup.ts";
import type { Desk } from "./setup.ts";

// To fetch one object begins with HEAD, whose answer has no body: why S3 refuses has to be told all the same.

const kind = kinds[0];

describe.skipIf(kind === undefined)("what an answer to HEAD does not say", () => {
  let server: S3Server;
  let proxy: FaultProxy;
  let desk: Desk;

  beforeAll(async () => {
    server = await startServer(kind!);
    proxy = await startFaults(server);
    desk = createDesk(server);
  });
  afterAll(() => {
    proxy?.stop();
    desk?.close();
    server?.stop();
  });

  const look = async (more: Record<string, string> = {}) =>
    (await (await desk.aws(proxy.url, more)).s3()).head(bucket, "there/or-not");

  test("a secret key that is wrong", async () => {
    await expect(look({ AWS_SECRET_ACCESS_KEY: "junk" })).rejects.toMatchObject({
      code: "E_AWS_CREDENTIALS",
      hint: expect.stringContaining("secret key"),
    });
  });

  test.each<[string, number, string, string]>([
    ["credentials that have expired", 400, "ExpiredToken", "E_AWS_EXPIRED"],
    ["a right that is missing", 403, "AccessDenied", "E_AWS_DENIED"],
  ])("%s", async (_name, answer, name, code) => {
    proxy.fault = ({ operation }): Fault | undefined =>
      operation === "HeadObject" || operation === "GetObject" ? { answer, code: name } : undefined;
    await expect(look()).rejects.toMatchObject({
      code,
      message: expect.stringContaining("cannot look at s3://moxi-test/there/or-not: "),
    });
    proxy.fault = () => undefined;
  });

  test("nothing, where GET is not refused: what HEAD said stands", async () => {
    proxy.fault = ({ operation }): Fault | undefined =>
      operation === "HeadObject" ? { answer: 403 } : undefined;
    await expect(look()).rejects.toMatchObject({ code: "E_AWS_DENIED" });
    proxy.fault = () => undefined;
    expect(await look()).toBe(undefined);
  });
});
