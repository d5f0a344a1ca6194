/** A heading with the text below it, and the sections below that. */
export interface Section {
  /** 1 to 6. */
  readonly level: number;
  readonly title: string;
  /** Paragraphs, lists, tables and fenced code, in order; none holds a heading. */
  readonly blocks: readonly string[];
  readonly children: readonly Section[];
}

type OpenSection = Section & { blocks: string[]; children: Section[] };

/**
 * Reads a README as one section: its title, and every other heading below it. What a model cannot
 * know from a file tree (badges, images, link targets) or should not learn (HTML) is taken out.
 */
export function parseReadme(text: string, name: string): Section {
  const root: OpenSection = { level: 1, title: name, blocks: [], children: [] };
  const open = [root];
  let titled = false;
  for (const block of splitBlocks(text)) {
    const heading = /^(#{1,6}) (.*)$/.exec(block);
    const top = open.at(-1)!;
    if (heading === null) {
      top.blocks.push(block);
    } else if (!titled) {
      titled = true;
      Object.assign(root, { title: heading[2] });
    } else {
      // A second title is a section: some READMEs use `#` for everything.
      const level = Math.max(2, heading[1]!.length);
      const section: OpenSection = { level, title: heading[2]!, blocks: [], children: [] };
      while (open.length > 1 && open.at(-1)!.level >= level) open.pop();
      open.at(-1)!.children.push(section);
      open.push(section);
    }
  }
  return withoutEmpty(root);
}

/** A section that lost all it had is no section. */
function withoutEmpty(section: Section): Section {
  const children = section.children
    .map(withoutEmpty)
    .filter((child) => child.blocks.length + child.children.length > 0);
  return { ...section, children };
}

/** The section's own text, without its children, below a heading of this level. */
export function leadText(section: Section, level: number = section.level): string {
  const hashes = "#".repeat(Math.min(6, level));
  return [`${hashes} ${section.title}`, ...section.blocks].join("\n\n");
}

/** The section as Markdown, children included; its heading is moved to this level, theirs with it. */
export function sectionText(section: Section, level: number = section.level): string {
  const children = section.children.map((child) =>
    sectionText(child, child.level - section.level + level),
  );
  return [leadText(section, level), ...children].join("\n\n");
}

/** Headings (as `# title`), fenced code and everything else, cleaned and cut at blank lines. */
function splitBlocks(text: string): string[] {
  const definitions = text.matchAll(/^ {0,3}\[([^\]\n]+)\]:/gm);
  const defined = new Set(Array.from(definitions, ([, label]) => label!.toLowerCase()));
  const blocks: string[] = [];
  let prose: string[] = [];
  let fence: { mark: string; lines: string[] } | undefined;
  const flush = () => {
    blocks.push(...proseBlocks(prose.join("\n"), defined));
    prose = [];
  };
  for (const line of text
    .replace(/\r\n?/g, "\n")
    .replace(/^\ufeff/, "")
    .split("\n")) {
    const mark = /^ {0,6}(`{3,}|~{3,})/.exec(line)?.[1];
    if (fence !== undefined) {
      fence.lines.push(line.trimEnd());
      if (mark?.startsWith(fence.mark)) {
        blocks.push(outdent(fence.lines).join("\n"));
        fence = undefined;
      }
    } else if (mark !== undefined) {
      flush();
      fence = { mark, lines: [line.trimEnd()] };
    } else {
      prose.push(line);
    }
  }
  // An unclosed fence runs to the end of the file and is dropped with it.
  flush();
  return blocks;
}

function outdent(lines: readonly string[]): string[] {
  const indent = /^ */.exec(lines[0]!)![0].length;
  return lines.map((line) => line.slice(Math.min(indent, /^ */.exec(line)![0].length)));
}

function proseBlocks(text: string, defined: ReadonlySet<string>): string[] {
  return cleanProse(text, defined)
    .split(/\n\s*\n/)
    .map((block) => block.replace(/^\n+/, "").trimEnd())
    .filter((block) => /[\p{L}\p{N}]/u.test(block));
}

function cleanProse(text: string, defined: ReadonlySet<string>): string {
  return (
    text
      .replace(/<!--[\s\S]*?-->/g, "")
      .replace(/<h([1-6])\b[^>]*>([\s\S]*?)<\/h\1>/gi, (_, level: string, title: string) => {
        return `\n\n${"#".repeat(Number(level))} ${title.replace(/\s+/g, " ")}\n\n`;
      })
      .replace(/<(script|style|svg|picture|video)\b[\s\S]*?<\/\1>/gi, "")
      .replace(
        /<\/?(?:a|b|big|blockquote|br|center|code|dd|details|div|dl|dt|em|font|hr|i|img|kbd|li|ol|p|picture|pre|small|source|span|strong|sub|summary|sup|table|tbody|td|th|thead|tr|u|ul|video)\b[^>]*>/gi,
        "",
      )
      .replace(/&nbsp;/g, " ")
      .replace(/&lt;/g, "<")
      .replace(/&gt;/g, ">")
      .replace(/&amp;/g, "&")
      // Link definitions, images, then each link to its text: `[![badge](...)](...)` leaves nothing.
      .replace(/^ {0,3}\[[^\]\n]+\]:[ \t]*\S.*$/gm, "")
      .replace(/!\[[^\]]*\](?:\([^)]*\)|\[[^\]]*\])/g, "")
      .replace(/\[([^[\]]*)\](?:\([^()]*(?:\([^()]*\)[^()]*)*\)|\[[^\]]*\])/g, "$1")
      .replace(/\[([^[\]\n]+)\]/g, (whole, label: string) =>
        defined.has(label.toLowerCase()) ? label : whole,
      )
      .replace(/<https?:[^>\s]*>/g, "")
      .replace(/^> ?\[!\w+\] *$/gm, "")
      // Setext headings, closing hashes, and a blank line around every heading.
      .replace(/^(\S[^\n]*)\n=+[ \t]*$/gm, "# $1")
      .replace(/^([^\s|>*+-][^\n]*)\n-{3,}[ \t]*$/gm, "## $1")
      .replace(
        /^ {0,3}(#{1,6})[ \t]*([^\n#][^\n]*?)[ \t]*#*[ \t]*$/gm,
        (_, hashes: string, title: string) => {
          const plain = cleanTitle(title);
          return plain === "" ? "" : `\n\n${hashes} ${plain}\n\n`;
        },
      )
      .replace(/^[ \t]*([-*_])(?:[ \t]*\1){2,}[ \t]*$/gm, "")
      .replace(/[ \t]+$/gm, "")
      .replace(/(\S)[ \t]{3,}/g, "$1  ")
  );
}

/** Without emoji, which only decorate, and without links. */
function cleanTitle(title: string): string {
  return title
    .replace(/[\p{Extended_Pictographic}\ufe0f\u200d]/gu, "")
    .replace(/:[a-z_]+:/g, "")
    .replace(/\*\*/g, "")
    .replace(/\s+/g, " ")
    .trim();
}
