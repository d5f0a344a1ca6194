import { expect, test } from "vitest";
import { Pieces } from "./pieces.ts";

/** Reads as a socket does: puts bytes where there is space, and says how many. */
function put(pieces: Pieces, bytes: Buffer, use: (chunk: Buffer) => void): void {
  for (let at = 0; at < bytes.length;) {
    const count = bytes.copy(pieces.space(), 0, at);
    use(pieces.read(count));
    pieces.rest();
    at += count;
  }
}

const pattern = (bytes: number) =>
  Buffer.from(Uint8Array.from({ length: bytes }, (_, index) => (index * 31 + (index >> 8)) & 255));

test("records become pieces of a quarter of a megabyte, in order and uncopied", async () => {
  const pieces = new Pieces([]);
  const body = pattern(5 << 20);
  const found: Buffer[] = [];
  const sizes: number[] = [];
  const take = (piece: Buffer) => {
    sizes.push(piece.length);
    found.push(Buffer.from(piece));
  };
  for (let at = 0; at < body.length; at += 16 << 10) {
    const record = body.subarray(at, at + (16 << 10));
    put(pieces, record, (chunk) => pieces.add(chunk, take));
  }
  pieces.flush();
  await pieces.done();
  expect(Buffer.concat(found).equals(body)).toBe(true);
  expect(sizes.length).toBeLessThan(24);
  expect(Math.max(...sizes)).toBeGreaterThan(240_000);
});

test("what stands between the chunks of a body is left out", () => {
  const pieces = new Pieces([]);
  const found: Buffer[] = [];
  put(pieces, Buffer.from("head5\r\nhello\r\n7\r\n, world\r\n"), (chunk) => {
    for (const word of ["hello", ", world"]) {
      const at = chunk.indexOf(word);
      pieces.add(
        chunk.subarray(at, at + word.length),
        (piece) => void found.push(Buffer.from(piece)),
      );
    }
  });
  put(pieces, Buffer.from("!"), (chunk) => pieces.add(chunk, (piece) => void found.push(piece)));
  pieces.flush();
  expect(found.map(String)).toEqual(["hello, world!"]);
});

test("a piece stays as it is while somebody works on it", async () => {
  const pieces = new Pieces([]);
  const waiting: (() => void)[] = [];
  const seen: Buffer[] = [];
  const take = async (piece: Buffer) => {
    await new Promise<void>((resolve) => waiting.push(resolve));
    seen.push(Buffer.from(piece));
  };
  for (const letter of ["a", "b", "c"]) {
    put(pieces, Buffer.from(letter.repeat(1000)), (chunk) => pieces.add(chunk, take));
    pieces.flush();
    pieces.rest();
  }
  expect(pieces.busy).toBe(3);
  waiting.forEach((go) => go());
  await pieces.done();
  expect(seen.map(String)).toEqual(["a", "b", "c"].map((letter) => letter.repeat(1000)));
  expect(pieces.busy).toBe(0);
});

test("there is space after a taker that throws, which ends the connection", () => {
  const pieces = new Pieces([]);
  const take = () => {
    throw Object.assign(new Error("no space left"), { code: "ENOSPC" });
  };
  expect(pieces.extend(pieces.space().length, take)).toBe(true);
  expect(() => pieces.rest()).toThrow("no space left");
  expect(pieces.space().length).toBeGreaterThan(0);
});

test("what goes wrong with one piece is told to everybody who asks, also later", async () => {
  const pieces = new Pieces([]);
  const full = Object.assign(new Error("no space left"), { code: "ENOSPC" });
  put(pieces, Buffer.from("x"), (chunk) => pieces.add(chunk, () => Promise.reject(full)));
  pieces.flush();
  await expect(pieces.done()).rejects.toBe(full);
  await expect(pieces.done()).rejects.toBe(full);
});
