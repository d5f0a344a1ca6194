import { createHash } from "node:crypto";
import { S3Client, PutObjectCommand } from "@aws-sdk/client-s3";
import { expect, test } from "vitest";
import { createSigner } from "./sign.ts";

// The example of AWS's own page, "GET Object", docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
test("AWS's own example is signed as AWS signs it", () => {
  const empty = createHash("sha256").digest("hex");
  const headers = createSigner("us-east-1")(
    {
      method: "GET",
      host: "examplebucket.s3.amazonaws.com",
      path: "/test.txt",
      query: "",
      headers: { range: "bytes=0-9" },
      payload: empty,
    },
    {
      accessKeyId: "AKIAIOSFODNN7EXAMPLE",
      secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    },
    Date.parse("2013-05-24T00:00:00Z"),
  );
  expect(headers).toContain(
    "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
  );
});

test("names that need encoding are signed as the SDK signs them", async () => {
  const credentials = { accessKeyId: "A", secretAccessKey: "s", sessionToken: "t" };
  let sent: { path: string; headers: Record<string, string> } | undefined;
  const client = new S3Client({
    region: "eu-west-1",
    credentials,
    endpoint: "https://host.example",
    forcePathStyle: true,
    requestChecksumCalculation: "WHEN_REQUIRED",
    maxAttempts: 1,
    requestHandler: {
      handle: (request: typeof sent) => {
        sent = request;
        return Promise.reject(new Error("not sent"));
      },
    } as never,
  });
  const key = "folder é/a b+c%&=!'()*;:@,$~";
  await client.send(new PutObjectCommand({ Bucket: "bucket", Key: key, Body: "" })).catch(() => {});
  const { path, headers } = sent!;
  const [, list = ""] = /SignedHeaders=([^,]+)/.exec(headers["authorization"]!)!;
  const kept = ["host", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token"];
  const others = list.split(";").filter((name) => !kept.includes(name));
  const time = headers["x-amz-date"]!;
  const date = Date.parse(
    time.replace(/(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z/, "$1-$2-$3T$4:$5:$6Z"),
  );
  const ours = createSigner("eu-west-1")(
    {
      method: "PUT",
      host: headers["host"]!,
      path,
      query: "x-id=PutObject",
      headers: Object.fromEntries(others.map((name) => [name, headers[name]!])),
      payload: headers["x-amz-content-sha256"]!,
    },
    credentials,
    date,
  );
  expect(ours).toContain(`authorization: ${headers["authorization"]}\r\n`);
  for (const name of others) expect(ours).toContain(`${name}: ${headers[name]}\r\n`);
});
