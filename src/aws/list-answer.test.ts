import { ListObjectsV2Command, S3Client } from "@aws-sdk/client-s3";
import { expect, test } from "vitest";
import { readList } from "./list-answer.ts";

const head = '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3">';
const tail = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>";
const object = (key: string, etag = "&quot;abc&quot;", size = "12") =>
  `<Contents><Key>${key}</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified>` +
  `<ETag>${etag}</ETag><Size>${size}</Size><StorageClass>STANDARD</StorageClass></Contents>`;
const list = (...objects: string[]) =>
  `${head}<Name>b</Name>${objects.join("")}${tail}</ListBucketResult>`;

/** What the SDK makes of an answer. */
async function bySdk(xml: string) {
  const client = new S3Client({
    region: "eu-west-1",
    credentials: { accessKeyId: "A", secretAccessKey: "s" },
    requestHandler: {
      handle: () =>
        Promise.resolve({ response: { statusCode: 200, headers: {}, body: Buffer.from(xml) } }),
    } as never,
  });
  return client.send(new ListObjectsV2Command({ Bucket: "bucket" }));
}

test.each([
  ["names as they are", list(object("a"), object("b/c d"), object("é", "", "0"))],
  ["entities", list(object("&lt;&amp;amp;&gt;&apos;&#65;&#x42;"), object("x", "&#34;e&#34;"))],
  ["lines between", list(`\n${object("a")}\n  `, `${object("b")}\n`)],
  ["names that look like others", list(object("Contents"), object("&lt;/Contents&gt;"))],
])("%s are read as the SDK reads them", async (_, xml) => {
  const { objects, rest } = readList(xml)!;
  const whole = await bySdk(xml);
  const wanted = whole.Contents!.map(({ Key, Size, ETag }) => ({
    key: Key,
    size: Size,
    etag: ETag ?? "",
  }));
  expect(objects).toEqual(wanted);
  expect(wanted.length).toBeGreaterThan(1);
  const left = await bySdk(rest);
  expect(left.Contents).toBeUndefined();
  expect([left.IsTruncated, left.NextContinuationToken, left.Name]).toEqual([true, "t", "b"]);
});

test.each([
  ["nothing found", list()],
  ["hidden text", list("<![CDATA[<Contents>]]>", object("a"))],
  ["a comment", list("<!-- <Contents> -->", object("a"))],
  ["attributes", list(object("a"), '<Contents a="b"><Key>b</Key></Contents>')],
  ["something between", list(object("a"), "<Other/>", object("b"))],
  ["no size", list(object("a", "e", ""))],
  ["an error", "<Error><Code>NoSuchBucket</Code></Error>"],
])("%s: the SDK is to read all of it", (_, xml) => {
  expect(readList(xml)).toBeUndefined();
});
