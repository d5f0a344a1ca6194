import { readFileSync } from "node:fs";
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import type { Aws } from "../../src/aws/aws.ts";
import { bucket } from "./server.ts";
import { mib } from "./setup.ts";

export type Algorithm = "CRC64NVME" | "CRC32" | "SHA256";

/** Puts a file as other tools do: with the SDK's other checksums, and with those of parts alone. */
export async function put(
  aws: Aws,
  key: string,
  path: string,
  how: { readonly algorithm: Algorithm; readonly parts: number; readonly firstBytes?: number },
): Promise<void> {
  const { algorithm, parts, firstBytes = 5 * mib } = how;
  const { NodeHttpHandler } = await import("@smithy/node-http-handler");
  const { Agent } = await import("node:https");
  const { settings, credentials } = aws;
  const ca = [
    ...settings.network.authorities.besides,
    ...(settings.network.authorities.only ?? []),
  ];
  const { accessKeyId, secretAccessKey } = await credentials.get();
  const client = new S3Client({
    region: settings.region,
    endpoint: settings.endpoint("s3")!,
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
    requestHandler: new NodeHttpHandler({ httpsAgent: new Agent({ ca }) }),
  });
  const Body = readFileSync(path);
  const where = { Bucket: bucket.name, Key: key };
  const checksum = { ChecksumAlgorithm: algorithm } as const;
  try {
    if (parts === 1)
      return void (await client.send(new PutObjectCommand({ ...where, ...checksum, Body })));
    const { UploadId } = await client.send(
      new CreateMultipartUploadCommand({ ...where, ...checksum }),
    );
    const Parts = [];
    for (let PartNumber = 1; PartNumber <= parts; PartNumber++) {
      const from = PartNumber === 1 ? 0 : firstBytes + (PartNumber - 2) * 5 * mib;
      const to = PartNumber === parts ? Body.length : firstBytes + (PartNumber - 1) * 5 * mib;
      const part = { ...where, ...checksum, UploadId, PartNumber, Body: Body.subarray(from, to) };
      const { ETag, ChecksumCRC32, ChecksumCRC64NVME } = await client.send(
        new UploadPartCommand(part),
      );
      Parts.push({ PartNumber, ETag, ChecksumCRC32, ChecksumCRC64NVME });
    }
    const MultipartUpload = { Parts };
    await client.send(new CompleteMultipartUploadCommand({ ...where, UploadId, MultipartUpload }));
  } finally {
    client.destroy();
  }
}
