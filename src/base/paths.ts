import { isAbsolute, join, resolve } from "node:path";

/** Whether a text can only mean a path: "/x", "./x", "../x", "~/x", ".", "..", "~". */
export function looksLikePath(text: string): boolean {
  return /^(?:\.{1,2}|~)?(?:[/\\]|$)/.test(text);
}

/** An absolute path: "~" is the home folder, a relative one starts from `folder`. */
export function resolvePath(path: string, folder: string, home: string): string {
  return /^~(?:[/\\]|$)/.test(path) ? join(home, path.slice(1)) : resolve(folder, path);
}

/** Where the user's caches lie; Moxi's folder there is `moxi/`. */
export function cacheFolder({
  env,
  home,
}: {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string;
}): string {
  const folder = env["XDG_CACHE_HOME"];
  // The standard says to ignore a relative one.
  return folder && isAbsolute(folder) ? folder : join(home, ".cache");
}
