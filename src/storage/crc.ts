import { crc32 } from "node:zlib";

// CRC-32 of a whole from the CRCs of its pieces: appending n bytes multiplies by x^(8n) modulo the
// polynomial (zlib's crc32_combine, which Node does not export). Bits are reversed, as in zlib.

const polynomial = 0xedb88320;

function multiply(a: number, b: number): number {
  let product = 0;
  for (let bit = 0x80000000; bit !== 0; bit >>>= 1) {
    if ((a & bit) !== 0) product ^= b;
    b = (b & 1) !== 0 ? (b >>> 1) ^ polynomial : b >>> 1;
  }
  return product >>> 0;
}

/** x^(8 * bytes) modulo the polynomial. */
function shiftOf(bytes: number): number {
  let power = 0x00800000;
  let result = 0x80000000;
  for (let rest = bytes; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) result = multiply(result, power);
    power = multiply(power, power);
  }
  return result;
}

/** The CRC-32 of a text from those of its two pieces and the length of the second in bytes. */
export function combineCrc(first: number, second: number, secondBytes: number): number {
  return (multiply(shiftOf(secondBytes), first) ^ second) >>> 0;
}

/** CRC-32 of CRCs one after another, as S3 keeps it for an object made of parts. */
export function compositeCrc(crcs: readonly number[]): number {
  const bytes = Buffer.alloc(crcs.length * 4);
  crcs.forEach((crc, index) => bytes.writeUInt32BE(crc, index * 4));
  return crc32(bytes);
}
