import { MoxiError } from "../base/errors.ts";
import type { ErrorCode } from "../base/errors.ts";
import { formatBytes, printable } from "../base/format.ts";

/** Addresses of private indexes hold user names and passwords: they are never shown. */
export function redact(text: string): string {
  return text.replace(/:\/\/[^/\s]+@/g, "://***@");
}

export interface FailedInstall {
  /** What was being done, to follow "could not", e.g. "install the Python packages". */
  readonly task: string;
  /** What the installer said on stderr. */
  readonly output: string;
  /** The folders that it writes to. */
  readonly folders: readonly [string, ...string[]];
  /** Bytes that a whole installation takes. */
  readonly bytes: number;
}

const again = "run the same command again: what was downloaded is kept";

interface Known {
  readonly pattern: RegExp;
  readonly code: ErrorCode;
  /** Follows the address of the index. */
  readonly what: string;
  readonly hint: string;
}

/** What uv and pip say when something outside is wrong; the first that matches is the story. */
const known: readonly Known[] = [
  {
    pattern: /invalid peer certificate|UnknownIssuer|CERTIFICATE_VERIFY_FAILED/i,
    code: "E_NETWORK",
    what: "shows a certificate that is not trusted",
    hint: "behind a company's proxy, set SSL_CERT_FILE to a bundle that holds the company's certificate",
  },
  {
    pattern: /\b(?:401 Unauthorized|403 Forbidden|407 Proxy|HTTP error (?:401|403|407))\b/i,
    code: "E_PYTHON_INSTALL",
    what: "refuses access",
    hint: "check the user name and password in UV_DEFAULT_INDEX, pip's configuration, ~/.netrc or HTTPS_PROXY",
  },
  {
    pattern: /hash mismatch|DO NOT MATCH THE HASHES/i,
    code: "E_PYTHON_INSTALL",
    what: "serves another file than the one that Moxi was tested with: its hash differs",
    hint: "check which index is set in UV_DEFAULT_INDEX and in pip's configuration",
  },
  {
    pattern:
      /error sending request|client error \(Connect\)|dns error|timed out|connection (?:reset|refused|closed|broken)|name resolution|network is unreachable|network was disabled|tunnel error|\b(?:429|5\d\d) (?:Too Many|Internal|Bad Gateway|Service|Gateway)/i,
    code: "E_NETWORK",
    what: "cannot be reached",
    hint: `check the network; set HTTPS_PROXY behind a proxy, UV_DEFAULT_INDEX for a mirror of the package index; then ${again}`,
  },
];

const noSpace =
  /no space left on device|disk quota exceeded|os error (?:28|122)\b|Errno (?:28|122)\b/i;

/** Tells from an installer's last words what went wrong and what mends it. */
export function installError({ task, output, folders, bytes }: FailedInstall): MoxiError {
  const said = printable(redact(output));
  const details = causes(said);
  if (noSpace.test(said)) {
    // The file that did not fit is named last, just before the reason.
    const file = /(\/[^\s`]+)`?:[^:]*(?:no space|quota)/i.exec(said)?.[1] ?? "";
    const folder = folders.find((path) => file.startsWith(path)) ?? folders[0];
    return diskFullError(folder, `about ${formatBytes(bytes)}`, details);
  }
  const story = known.find(({ pattern }) => pattern.test(said));
  if (story !== undefined) {
    const message = `could not ${task}: ${address(said)} ${story.what}`;
    return new MoxiError(story.code, message, { hint: story.hint, details });
  }
  const why = details[0] ?? "the installer ended without a word";
  return new MoxiError("E_PYTHON_INSTALL", `could not ${task}: ${why}`, { hint: again, details });
}

/** `size` in words, e.g. "about 7.0 GB". */
export function diskFullError(
  path: string,
  size: string,
  details: readonly string[] = [],
): MoxiError {
  return new MoxiError(
    "E_DISK_FULL",
    `not enough space on the disk that holds ${path}: the Python packages take ${size}`,
    {
      hint: "free some space, or set XDG_CACHE_HOME (and UV_CACHE_DIR, if you use it) to a folder on a larger disk",
      place: { file: path },
      details,
    },
  );
}

/** The installer's error and its causes, the root last, without what it said while all was well. */
function causes(said: string): string[] {
  const lines = said.split("\n");
  const start = lines.findIndex((line) => /^\s*(?:error:|×)/i.test(line));
  return lines
    .slice(Math.max(0, start))
    .map((line) => line.replace(/^[\s×│├╰─▶]*(?:(?:error|cause|caused by): )?/i, "").trim())
    .filter((line) => line !== "")
    .slice(0, 10);
}

function address(said: string): string {
  return /https?:\/\/(?:\*\*\*@)?([^\s/`)'"]+)/.exec(said)?.[1] ?? "the package index";
}
