import { createHmac, createSecretKey, hash } from "node:crypto";
import type { KeyObject } from "node:crypto";

export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
  readonly expiration?: Date | undefined;
}

export interface Unsigned {
  readonly method: string;
  readonly host: string;
  /** Encoded as it is sent. */
  readonly path: string;
  /** Encoded and sorted as it is sent, without "?". */
  readonly query: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** SHA-256 of the body in hex, or UNSIGNED-PAYLOAD. */
  readonly payload: string;
}

const hmac = (key: string | Buffer, data: string) =>
  createHmac("sha256", key).update(data).digest();

/** As it is signed: without spaces around it, and never two in a row. */
const plain = (value: string) =>
  /^\s|\s$|  /.test(value) ? value.trim().replace(/ +/g, " ") : value;

/**
 * Signature Version 4 for S3 (docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html).
 * The SDK's signer gives the same headers, but takes a tenth of a millisecond for each of ten
 * thousand small files. The result is all of the request's headers, a line each with its end.
 */
export function createSigner(region: string, service = "s3") {
  // Node takes longer to make a key of bytes than to sign with it.
  let cached: { readonly for: string; readonly key: KeyObject } | undefined;
  return (request: Unsigned, credentials: Credentials, now: number): string => {
    const time = new Date(now).toISOString().replace(/[-:]|\.\d{3}/g, "");
    const day = time.slice(0, 8);
    const keyOf = `${day} ${credentials.secretAccessKey}`;
    if (cached?.for !== keyOf) {
      const parts = [region, service, "aws4_request"];
      const key = parts.reduce(hmac, hmac(`AWS4${credentials.secretAccessKey}`, day));
      cached = { for: keyOf, key: createSecretKey(key) };
    }
    const headers: Record<string, string> = {
      ...request.headers,
      host: request.host,
      "x-amz-content-sha256": request.payload,
      "x-amz-date": time,
    };
    if (credentials.sessionToken) headers["x-amz-security-token"] = credentials.sessionToken;
    const names = Object.keys(headers).sort();
    const signed = names.join(";");
    let canonical = `${request.method}\n${request.path}\n${request.query}\n`;
    let lines = "";
    for (const name of names) {
      const value = headers[name]!;
      canonical += `${name}:${plain(value)}\n`;
      lines += `${name}: ${value}\r\n`;
    }
    canonical += `\n${signed}\n${request.payload}`;
    const scope = `${day}/${region}/${service}/aws4_request`;
    const text = `AWS4-HMAC-SHA256\n${time}\n${scope}\n${hash("sha256", canonical)}`;
    const signature = createHmac("sha256", cached.key).update(text).digest("hex");
    return (
      `${lines}authorization: AWS4-HMAC-SHA256 Credential=${credentials.accessKeyId}/${scope}, ` +
      `SignedHeaders=${signed}, Signature=${signature}\r\n`
    );
  };
}
