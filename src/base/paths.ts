import { join, resolve } from "node:path";

/** Whether a text can only mean a path: "/x", "./x", "../x", "~/x", ".", "..", "~". */
export function looksLikePath(text: string): boolean {
  return /^(?:\.{1,2}|~)?(?:[/\\]|$)/.test(text);
}

/** An absolute path: "~" is the home folder, a relative one starts from `folder`. */
export function resolvePath(path: string, folder: string, home: string): string {
  return /^~(?:[/\\]|$)/.test(path) ? join(home, path.slice(1)) : resolve(folder, path);
}
