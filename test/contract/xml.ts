/** An element without its attributes. */
export interface XmlNode {
  readonly name: string;
  readonly children: XmlNode[];
  text: string;
}

const entities: Readonly<Record<string, string>> = {
  lt: "<",
  gt: ">",
  amp: "&",
  quot: '"',
  apos: "'",
};

/** Reads the XML that clients send: elements and text, strictly nested, no more. */
export function parseXml(source: string): XmlNode {
  const top: XmlNode = { name: "", children: [], text: "" };
  const open = [top];
  const token = /<\?[^>]*\?>|<(\/?)([\w:.-]+)([^<>]*?)(\/?)>|([^<]+)/gy;
  let at = 0;
  for (let match = token.exec(source); match !== null; match = token.exec(source)) {
    at = token.lastIndex;
    const [, closing, name, , empty, text] = match;
    if (text !== undefined) {
      open.at(-1)!.text += text.replaceAll(
        /&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi,
        (_, hex, number, word) =>
          word === undefined
            ? String.fromCodePoint(hex === undefined ? Number(number) : Number.parseInt(hex, 16))
            : (entities[word as string] ?? ""),
      );
    } else if (closing === "/") {
      if (open.pop()?.name !== name) throw new Error(`</${name}> closes nothing`);
    } else if (name !== undefined) {
      const node: XmlNode = { name, children: [], text: "" };
      open.at(-1)!.children.push(node);
      if (empty !== "/") open.push(node);
    }
  }
  if (at !== source.length || open.length !== 1 || top.children.length !== 1) {
    throw new Error("the body is no XML document");
  }
  return top.children[0]!;
}
