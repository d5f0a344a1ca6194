import { MoxiError } from "../base/errors.ts";
import { formatBytes, formatCount, printable } from "../base/format.ts";
import { contentHash } from "../storage/content.ts";
import { codeFiles } from "./files.ts";
import type { SourceFile } from "./files.ts";
import { scanForSecrets } from "./secrets.ts";
import type { FetchedWheel } from "./wheels.ts";

/** One file that will be sent: where it lies here, and its name below `moxi/code/<sha>/`. */
export interface BundleFile extends SourceFile {
  readonly kind: "code" | "wheel" | "user";
}

/** All that leaves this machine as code. The same content has the same `sha` on every machine. */
export interface Bundle {
  /** SHA-256 over the names and contents, as `uploadContent` calls them; modes, times, order and owners are no content. */
  readonly sha: string;
  /** Exactly what will be sent, sorted by name. */
  readonly files: readonly BundleFile[];
  readonly bytes: number;
}

export interface BundleOptions {
  /** Holds bootstrap.py and moxi_train/. */
  readonly trainer: string;
  readonly wheels?: readonly FetchedWheel[];
  /** Files and folders of the user's, from the project's folder; they come to lie below `user/`. */
  readonly user?: { readonly folder: string; readonly paths: readonly string[] };
  /** Values that may be in no file: tokens and keys that the user has set. */
  readonly secrets?: readonly string[];
  /** Remembers which files hold no secret. */
  readonly scanCache?: string;
  readonly limits?: Partial<BundleLimits>;
}

/** What a run's own files may take, wheels apart: more is most likely a dataset or a model. */
export interface BundleLimits {
  readonly bytes: number;
  readonly files: number;
}

export const bundleLimits: BundleLimits = { bytes: 50e6, files: 2000 };

/**
 * Collects what a job needs of code: the training program, its wheels, and files of the user's.
 * Reads only; the uploader sends each file under `moxi/code/<sha>/<path>`.
 *
 * @throws E_BUNDLE for files that cannot be sent or are too large, E_BUNDLE_SECRET where one holds
 *   a secret
 */
export async function makeBundle(options: BundleOptions): Promise<Bundle> {
  const { trainer, wheels = [], user, secrets = [] } = options;
  const code = await codeFiles(trainer);
  const own =
    user === undefined
      ? []
      : await (await import("./user-files.ts")).userFiles(user.folder, user.paths);
  guardSize(own, { ...bundleLimits, ...options.limits });
  await scanForSecrets([...code, ...own], secrets, options.scanCache);
  const files: BundleFile[] = [
    ...code.map((file) => ({ ...file, kind: "code" as const })),
    ...own.map((file) => ({ ...file, path: `user/${file.path}`, kind: "user" as const })),
    ...wheels.map((wheel) => ({
      path: `wheels/${wheel.file}`,
      source: wheel.path,
      size: wheel.size,
      sha256: wheel.sha256,
      kind: "wheel" as const,
    })),
  ].sort((a, b) => (a.path < b.path ? -1 : 1));
  return {
    sha: contentHash(files.map(({ path, sha256 }) => ({ name: path, sha256 }))),
    files,
    bytes: files.reduce((sum, { size }) => sum + size, 0),
  };
}

function guardSize(files: readonly SourceFile[], limits: BundleLimits): void {
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  const [what, limit] =
    files.length > limits.files
      ? [`${formatCount(files.length)} files`, `${formatCount(limits.files)} files`]
      : [formatBytes(bytes), formatBytes(limits.bytes)];
  if (files.length <= limits.files && bytes <= limits.bytes) return;
  const largest = files.toSorted((a, b) => b.size - a.size).slice(0, 5);
  throw new MoxiError("E_BUNDLE", `your files are too much to send with a run: ${what}`, {
    hint: `name fewer, or list what the run does not need in .gitignore; the limit is ${limit}`,
    details: largest.map(({ path, size }) => `${formatBytes(size)}  ${printable(path)}`),
  });
}
