import { expect, test } from "vitest";
import { combineCrc64, crc64, crc64Text } from "./crc64.ts";

// The check value of the catalogue of parametrised CRC algorithms (CRC-64/NVME), and the vectors of
// the NVM Express specification, "NVM Command Set", 5.2.1.3.4.
test.each<[string, Uint8Array, bigint]>([
  ["123456789", Buffer.from("123456789"), 0xae8b14860a799888n],
  ["nothing", Buffer.alloc(0), 0n],
  ["4 KiB of zeros", Buffer.alloc(4096), 0x6482d367eb22b64en],
  ["4 KiB of ones", Buffer.alloc(4096, 0xff), 0xc0ddba7302eca3acn],
  [
    "4 KiB that count up",
    Buffer.from(Uint8Array.from({ length: 4096 }, (_, n) => n & 255)),
    0x3e729f5f6750449cn,
  ],
  [
    "4 KiB that count down",
    Buffer.from(Uint8Array.from({ length: 4096 }, (_, n) => ~n & 255)),
    0x9a2df64b8e9e517en,
  ],
])("%s", (_name, bytes, crc) => {
  expect(crc64(bytes)).toBe(crc);
});

test("as S3 writes it", () => {
  expect(crc64Text(crc64(Buffer.from("123456789")))).toBe("rosUhgp5mIg=");
});

/** One bit after another, as the definition says. */
function slowly(bytes: Uint8Array): bigint {
  let crc = 0xffff_ffff_ffff_ffffn;
  for (const byte of bytes) {
    crc ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++)
      crc = (crc & 1n) === 0n ? crc >> 1n : (crc >> 1n) ^ 0x9a6c9329ac4bc9b5n;
  }
  return crc ^ 0xffff_ffff_ffff_ffffn;
}

test("wherever the bytes lie in memory, and in pieces", () => {
  const memory = Buffer.from(Uint8Array.from({ length: 600 }, (_, index) => (index * 7919) & 255));
  for (let from = 0; from < 9; from++) {
    for (const length of [0, 1, 3, 7, 8, 9, 17, 500]) {
      const bytes = memory.subarray(from, from + length);
      const whole = slowly(bytes);
      expect(crc64(bytes)).toBe(whole);
      const cut = length >> 1;
      const [first, second] = [bytes.subarray(0, cut), bytes.subarray(cut)];
      expect(crc64(second, crc64(first))).toBe(whole);
      expect(combineCrc64(crc64(first), crc64(second), second.length)).toBe(whole);
    }
  }
});
