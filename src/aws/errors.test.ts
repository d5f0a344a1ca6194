import { expect, test } from "vitest";
import { MoxiError } from "../base/errors.ts";
import { translate } from "./errors.ts";

const settings = { region: "us-east-1", regionFrom: "AWS_REGION", profile: "dev" };
const tell = (error: unknown) =>
  translate(error, { doing: "read s3://b/k", settings, credentials: "the profile dev" });
const aws = (name: string, status: number, more = {}) =>
  Object.assign(new Error("said\nso."), { name, $metadata: { httpStatusCode: status }, ...more });

test.each<[string, number, string, number]>([
  ["ExpiredToken", 400, "E_AWS_EXPIRED", 4],
  ["ExpiredTokenException", 403, "E_AWS_EXPIRED", 4],
  ["InvalidClientTokenId", 403, "E_AWS_CREDENTIALS", 4],
  ["SignatureDoesNotMatch", 403, "E_AWS_CREDENTIALS", 4],
  ["AccessDeniedException", 400, "E_AWS_DENIED", 4],
  ["UnauthorizedOperation", 403, "E_AWS_DENIED", 4],
  ["SomethingElse", 403, "E_AWS_DENIED", 4],
  ["ResourceLimitExceeded", 400, "E_AWS_QUOTA", 5],
  ["VcpuLimitExceeded", 400, "E_AWS_QUOTA", 5],
  ["InsufficientInstanceCapacity", 500, "E_AWS_CAPACITY", 5],
  ["ThrottlingException", 400, "E_AWS_THROTTLED", 8],
  ["SlowDown", 503, "E_AWS_THROTTLED", 8],
  ["InternalFailure", 500, "E_AWS_UNAVAILABLE", 8],
  ["Odd", 502, "E_AWS_UNAVAILABLE", 8],
  ["NoSuchBucket", 404, "E_S3_BUCKET", 2],
  ["ResourceNotFoundException", 400, "E_AWS_NOT_FOUND", 2],
  ["RequestTimeTooSkewed", 403, "E_AWS_CLOCK", 4],
  ["ValidationException", 400, "E_AWS_REFUSED", 1],
])("%s (%s) is %s with exit code %s", (name, status, code, exitCode) => {
  const error = tell(aws(name, status));
  expect(error).toMatchObject({
    code,
    exitCode,
    message: expect.stringMatching(/^cannot read s3:\/\/b\/k: /),
  });
  expect(error.hint).not.toBe("");
  expect(error.message).not.toContain("\n");
});

test.each([
  ["ECONNREFUSED", "E_NETWORK"],
  ["ENOTFOUND", "E_NETWORK"],
  ["ETIMEDOUT", "E_NETWORK"],
  ["SELF_SIGNED_CERT_IN_CHAIN", "E_TLS"],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "E_TLS"],
  ["CERT_HAS_EXPIRED", "E_TLS"],
  ["ENOSPC", "E_DISK_FULL"],
])("%s is %s, also beneath another error", (system, code) => {
  const cause = Object.assign(new Error("trouble"), { code: system });
  expect(tell(cause).code).toBe(code);
  expect(tell(new Error("fetch failed", { cause })).code).toBe(code);
});

test("a bucket of another region is named with its region", () => {
  const error = tell(aws("PermanentRedirect", 301, { Region: "eu-west-1" }));
  expect(error).toMatchObject({ code: "E_AWS_REGION", exitCode: 2 });
  expect(error.message).toContain("eu-west-1, not us-east-1");
  expect(error.hint).toContain("AWS_REGION=eu-west-1");
});

test("who has to sign in again is told how, ours passes, and the unknown is our bug", () => {
  expect(tell(aws("ExpiredToken", 400)).hint).toContain("aws sso login --profile dev");
  const ours = new MoxiError("E_BUDGET", "no");
  expect(tell(ours)).toBe(ours);
  expect(tell(new TypeError("x is not a function")).code).toBe("E_INTERNAL");
});
