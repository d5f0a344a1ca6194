import type { Bucket } from "./s3.ts";

/** What every request to a bucket says of it. */
export function bucketFields({ name, owner }: Bucket): {
  readonly Bucket: string;
  readonly ExpectedBucketOwner?: string;
} {
  return { Bucket: name, ...(owner === undefined ? {} : { ExpectedBucketOwner: owner }) };
}

/** What a request that makes an object in it says of the object's encryption. */
export function encryptionFields({ kmsKeyId }: Bucket): {
  readonly ServerSideEncryption?: "aws:kms";
  readonly SSEKMSKeyId?: string;
} {
  return kmsKeyId === undefined ? {} : { ServerSideEncryption: "aws:kms", SSEKMSKeyId: kmsKeyId };
}
