import { createHash } from "node:crypto";
import { canonicalJson } from "./json.ts";

/** SHA-256 in hex of some text or bytes. */
export function sha256(data: string | Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}

/** SHA-256 in hex of a JSON value, whatever the order of its keys. */
export function hashJson(value: unknown): string {
  return sha256(canonicalJson(value));
}
