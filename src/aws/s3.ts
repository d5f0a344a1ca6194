import { S3Client } from "@aws-sdk/client-s3";
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  ListPartsCommand,
} from "@aws-sdk/client-s3";
import type { HeadObjectCommandInput, HeadObjectCommandOutput } from "@aws-sdk/client-s3";
import type { ClientParts } from "./aws.ts";
import { bucketFields, encryptionFields } from "./bucket-fields.ts";
import { readList } from "./list-answer.ts";
import type { WireTarget } from "./wire.ts";

/** A bucket and what every request to it says besides. */
export interface Bucket {
  readonly name: string;
  /** The account that must own it; requests to anybody else's bucket are refused. */
  readonly owner?: string;
  /** The key that encrypts what is put there, instead of the bucket's own setting. */
  readonly kmsKeyId?: string;
}

export interface ObjectInfo {
  readonly key: string;
  readonly size: number;
  readonly etag: string;
}

export interface ObjectHead extends ObjectInfo {
  /** CRC-32 in base64: of the whole, or with "-n" of the CRCs of n parts. */
  readonly crc: string | undefined;
  /** CRC-64/NVME of the whole in base64: S3 adds it to what came without a checksum. */
  readonly crc64: string | undefined;
  /** SHA-256 in base64, where the sender chose it: of the whole, or with "-n" of those of n parts. */
  readonly sha256: string | undefined;
}

export interface UploadedPart {
  readonly number: number;
  readonly size: number;
  readonly etag: string;
  /** CRC-32 in base64, where the service keeps it. */
  readonly crc: string | undefined;
}

/** A multipart upload that was begun and neither finished nor given up: its parts are paid for. */
export interface Unfinished {
  readonly key: string;
  readonly id: string;
  readonly begun: Date;
}

/** S3's control calls, through the SDK. The calls that carry bytes are in wire.ts. */
export type S3 = Awaited<ReturnType<typeof openS3>>;

export async function openS3(parts: ClientParts) {
  const config = await parts.config("s3");
  const custom = "endpoint" in config;
  const client = new S3Client({
    ...config,
    // Only AWS resolves a bucket's name as a host.
    forcePathStyle: custom,
    expectContinueHeader: false,
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
  });
  parts.onClose(() => client.destroy());
  const uri = (bucket: Bucket, key: string) => `s3://${bucket.name}/${key}`;

  /** An answer to HEAD has no body, in which S3 says why it refuses: so the same is asked by GET. */
  async function sendHead(input: HeadObjectCommandInput): Promise<HeadObjectCommandOutput> {
    try {
      return await client.send(new HeadObjectCommand(input));
    } catch (error) {
      const status = statusOf(error);
      if (status !== 400 && status !== 403) throw error;
      const { PartNumber: _part, ...whole } = input;
      const asked = client.send(new GetObjectCommand({ ...whole, Range: "bytes=0-0" }));
      const reason: unknown = await asked
        .then(({ Body }) => Body?.transformToByteArray())
        .catch((refused: unknown) => refused);
      throw statusOf(reason) === status ? reason : error;
    }
  }

  async function listPage(bucket: Bucket, prefix: string, token: string | undefined) {
    // XML has no way to write most control characters; encoded they survive.
    const input = { ...bucketFields(bucket), Prefix: prefix, EncodingType: "url" as const };
    const command = new ListObjectsV2Command({ ...input, ContinuationToken: token });
    let taken: readonly ObjectInfo[] = [];
    command.middlewareStack.add(
      (next) => async (args) => {
        const result = await next(args);
        taken = await takeList(result.response as Response);
        return result;
      },
      { step: "deserialize", priority: "low" },
    );
    const page = await client.send(command);
    const plain = page.EncodingType !== "url";
    const left = (page.Contents ?? []).map(({ Key = "", Size = 0, ETag = "" }) => {
      return { key: Key, size: Size, etag: ETag };
    });
    const objects = [...taken, ...left].map(({ key, size, etag }): ObjectInfo => {
      const name = plain ? key : decodeURIComponent(key.replaceAll("+", " "));
      return { key: name, size, etag };
    });
    return { objects, next: page.NextContinuationToken };
  }

  async function* listPages(bucket: Bucket, prefix: string): AsyncGenerator<readonly ObjectInfo[]> {
    for (let token: string | undefined; ;) {
      const page = await parts.attempt(`list ${uri(bucket, prefix)}`, () =>
        listPage(bucket, prefix, token),
      );
      yield page.objects;
      token = page.next;
      if (token === undefined) return;
    }
  }

  return {
    /** Where and how the bytes of a bucket go. */
    wire(bucket: Bucket, options: { readonly pauseMs?: number } = {}): WireTarget {
      const { region, regionFrom, profile, network, fips, dualStack } = parts.settings;
      const { url, properties } = client.config.endpointProvider({
        Bucket: bucket.name,
        Region: region,
        UseFIPS: fips,
        UseDualStack: dualStack,
        ForcePathStyle: custom,
        ...(custom ? { Endpoint: config.endpoint } : {}),
      } as unknown as Parameters<typeof client.config.endpointProvider>[0]);
      const [scheme] = (properties?.["authSchemes"] ?? []) as { signingRegion?: string }[];
      return {
        bucket: bucket.name,
        url: url.href.replace(/\/$/, ""),
        region: scheme?.signingRegion ?? region,
        settings: {
          settings: { region, regionFrom, profile },
          credentials: parts.credentials.from,
        },
        network,
        headers: {
          "user-agent": "moxi",
          ...(bucket.owner === undefined ? {} : { "x-amz-expected-bucket-owner": bucket.owner }),
        },
        putHeaders:
          bucket.kmsKeyId === undefined
            ? {}
            : {
                "x-amz-server-side-encryption": "aws:kms",
                "x-amz-server-side-encryption-aws-kms-key-id": bucket.kmsKeyId,
              },
        attempts: 8,
        pauseMs: options.pauseMs ?? 100,
      };
    },

    /** Size, ETag and checksum of an object; undefined where there is none. */
    head: (bucket: Bucket, key: string): Promise<ObjectHead | undefined> =>
      parts.attempt(`look at ${uri(bucket, key)}`, async () => {
        try {
          const input = { ...bucketFields(bucket), Key: key, ChecksumMode: "ENABLED" as const };
          const found = await sendHead(input);
          return {
            key,
            size: found.ContentLength ?? 0,
            etag: found.ETag ?? "",
            crc: found.ChecksumCRC32,
            crc64: found.ChecksumCRC64NVME,
            sha256: found.ChecksumSHA256,
          };
        } catch (error) {
          // Without a body a missing bucket looks the same; whoever writes or lists next is told.
          if (error instanceof Error && /^(NotFound|NoSuchKey)$/.test(error.name)) return undefined;
          throw error;
        }
      }),

    /** The text of a small object; undefined where there is none. Large ones go by wire. */
    read: (bucket: Bucket, key: string): Promise<string | undefined> =>
      parts.attempt(`read ${uri(bucket, key)}`, async () => {
        try {
          const found = await client.send(
            new GetObjectCommand({ ...bucketFields(bucket), Key: key }),
          );
          return await found.Body!.transformToString();
        } catch (error) {
          if (error instanceof Error && error.name === "NoSuchKey") return undefined;
          throw error;
        }
      }),

    /** The size of a part, counted from 1, of an object that was sent in parts. */
    partBytes: (bucket: Bucket, { key, etag }: ObjectHead, number: number): Promise<number> =>
      parts.attempt(`look at the parts of ${uri(bucket, key)}`, async () => {
        const input = { ...bucketFields(bucket), Key: key, IfMatch: etag, PartNumber: number };
        const { ContentLength } = await sendHead(input);
        return ContentLength!;
      }),

    /** Every object whose key starts with a prefix, in the order of the keys. */
    list: (bucket: Bucket, prefix: string): Promise<ObjectInfo[]> =>
      parts.attempt(`list ${uri(bucket, prefix)}`, async () => {
        const found: ObjectInfo[] = [];
        for await (const page of listPages(bucket, prefix)) {
          for (const object of page) found.push(object);
        }
        return found;
      }),

    /** The same, a thousand at a time: while the first are worked on the next can be asked for. */
    listPages,

    /** Starts a multipart upload whose parts and whole are guarded by CRC-32; returns its id. */
    startUpload: (bucket: Bucket, key: string): Promise<string> =>
      parts.attempt(`write ${uri(bucket, key)}`, async () => {
        const { UploadId } = await client.send(
          new CreateMultipartUploadCommand({
            ...bucketFields(bucket),
            Key: key,
            ChecksumAlgorithm: "CRC32",
            ChecksumType: "FULL_OBJECT",
            ...encryptionFields(bucket),
          }),
        );
        return UploadId!;
      }),

    /** The unfinished uploads whose keys start with a prefix, the newest first. */
    unfinished: (bucket: Bucket, prefix: string): Promise<Unfinished[]> =>
      parts.attempt(`look for unfinished uploads of ${uri(bucket, prefix)}`, async () => {
        const found: Unfinished[] = [];
        for (let marker: { KeyMarker: string; UploadIdMarker: string } | undefined; ;) {
          const input = { ...bucketFields(bucket), Prefix: prefix, ...marker };
          const page = await client.send(new ListMultipartUploadsCommand(input));
          for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
            // A server that does not look at the prefix would have strangers' uploads given up.
            if (Key?.startsWith(prefix) !== true) continue;
            found.push({ key: Key, id: UploadId!, begun: Initiated ?? new Date() });
          }
          if (page.IsTruncated !== true) break;
          marker = { KeyMarker: page.NextKeyMarker!, UploadIdMarker: page.NextUploadIdMarker! };
        }
        return found.sort((a, b) => b.begun.getTime() - a.begun.getTime());
      }),

    parts: (bucket: Bucket, key: string, uploadId: string): Promise<UploadedPart[]> =>
      parts.attempt(`look at the parts of ${uri(bucket, key)}`, async () => {
        const found: UploadedPart[] = [];
        // Not by the SDK's paginator, which asks for ever where a last page names a next part too.
        for (let marker: string | undefined; ;) {
          const input = {
            ...bucketFields(bucket),
            Key: key,
            UploadId: uploadId,
            PartNumberMarker: marker,
          };
          const page = await client.send(new ListPartsCommand(input));
          for (const { PartNumber, Size, ETag, ChecksumCRC32 } of page.Parts ?? []) {
            found.push({
              number: PartNumber!,
              size: Size ?? 0,
              etag: ETag ?? "",
              crc: ChecksumCRC32,
            });
          }
          if (page.IsTruncated !== true || page.NextPartNumberMarker === marker) break;
          marker = page.NextPartNumberMarker;
        }
        return found;
      }),

    /** Makes the parts one object. `ifAbsent` refuses to replace one: E_S3_CHANGED. */
    finishUpload: (
      bucket: Bucket,
      key: string,
      upload: {
        readonly id: string;
        readonly parts: readonly UploadedPart[];
        readonly crc: string;
        readonly size: number;
        readonly ifAbsent: boolean;
      },
    ): Promise<void> =>
      parts.attempt(`finish ${uri(bucket, key)}`, async () => {
        await client.send(
          new CompleteMultipartUploadCommand({
            ...bucketFields(bucket),
            Key: key,
            UploadId: upload.id,
            ChecksumCRC32: upload.crc,
            ChecksumType: "FULL_OBJECT",
            MpuObjectSize: upload.size,
            ...(upload.ifAbsent ? { IfNoneMatch: "*" } : {}),
            MultipartUpload: {
              Parts: upload.parts.map(({ number, etag, crc }) => ({
                PartNumber: number,
                ETag: etag,
                ChecksumCRC32: crc,
              })),
            },
          }),
        );
      }),

    abortUpload: (bucket: Bucket, key: string, uploadId: string): Promise<void> =>
      parts.attempt(`give up the upload of ${uri(bucket, key)}`, async () => {
        const input = { ...bucketFields(bucket), Key: key, UploadId: uploadId };
        await client.send(new AbortMultipartUploadCommand(input));
      }),
  };
}

function statusOf(error: unknown): number | undefined {
  return (error as { $metadata?: { httpStatusCode?: number } } | undefined)?.$metadata
    ?.httpStatusCode;
}

interface Response {
  readonly statusCode: number;
  body: AsyncIterable<Uint8Array> | Uint8Array;
}

/** Takes the objects out of an answer that has just arrived; the SDK gets the rest of it. */
async function takeList(response: Response): Promise<readonly ObjectInfo[]> {
  if (response.statusCode !== 200 || response.body instanceof Uint8Array) return [];
  const chunks: Uint8Array[] = [];
  for await (const chunk of response.body) chunks.push(chunk);
  response.body = Buffer.concat(chunks);
  const answer = readList(response.body.toString());
  if (answer === undefined) return [];
  response.body = Buffer.from(answer.rest);
  return answer.objects;
}
