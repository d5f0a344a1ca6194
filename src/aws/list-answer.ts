import type { ObjectInfo } from "./s3.ts";

/** The objects of one answer to ListObjectsV2, and the answer without them. */
export interface ListAnswer {
  readonly objects: readonly ObjectInfo[];
  readonly rest: string;
}

const entities: Readonly<Record<string, string>> = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
};

function decoded(text: string): string {
  if (!text.includes("&")) return text;
  return text.replace(/&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi, (whole, hex, decimal, name) => {
    if (name !== undefined) return entities[name as string] ?? whole;
    return String.fromCodePoint(Number.parseInt(hex ?? decimal, hex === undefined ? 10 : 16));
  });
}

/**
 * Takes the objects out of S3's XML, before the SDK builds each of their names letter by letter: 0.3
 * CPU-seconds for ten thousand, a sixth of all that it takes to fetch them. Undefined where the text
 * is not written as S3 and its likes write it: the SDK can read that.
 */
export function readList(xml: string): ListAnswer | undefined {
  const objects: ObjectInfo[] = [];
  // What may hide a tag, or look like one.
  if (/<!|<\?(?!xml )|<Contents\s/.test(xml)) return undefined;
  const start = xml.indexOf("<Contents>");
  const end = xml.lastIndexOf("</Contents>");
  if (start < 0 || end < start) return undefined;
  for (const one of xml.slice(start, end).split("</Contents>")) {
    const text = (name: string) => {
      const from = one.indexOf(`<${name}>`);
      const to = one.indexOf(`</${name}>`, from);
      return from < 0 || to < 0 ? undefined : one.slice(from + name.length + 2, to);
    };
    const [key, size, etag] = [text("Key"), text("Size"), text("ETag")];
    if (!one.trimStart().startsWith("<Contents>")) return undefined;
    if (key === undefined || size === undefined || !/^\d{1,15}$/.test(size)) return undefined;
    objects.push({ key: decoded(key), size: Number(size), etag: decoded(etag ?? "") });
  }
  const rest = xml.slice(0, start) + xml.slice(end + "</Contents>".length);
  return { objects, rest };
}
