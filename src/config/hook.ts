import { readFileSync } from "node:fs";
import { realpath } from "node:fs/promises";
import { registerHooks } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";

let loads = 0;

/**
 * Imports a config file and what it imports by relative path, whatever stands around it.
 *
 * - `moxi` is this very package (`libraryUrl`): under npx nothing of that name lies beside the config.
 * - A file with `import` or `export` is an ES module, even beside a package.json without "type",
 *   where Node would guess, and warn that it did.
 * - Each load gets its own query, so that a file changed since the last load is read again; the
 *   query also marks the files that are ours, so that the hooks touch nothing else.
 */
export async function importConfig(file: string, libraryUrl: string): Promise<object> {
  const mark = `moxi-load=${++loads}`;
  // As the loader will name it.
  const url = `${pathToFileURL(await realpath(file)).href}?${mark}`;
  const isOurs = (other: string | undefined): boolean => other?.endsWith(`?${mark}`) ?? false;
  const hooks = registerHooks({
    resolve(specifier, context, next) {
      if (!isOurs(context.parentURL)) return next(specifier, context);
      if (specifier === "moxi") return { url: libraryUrl, shortCircuit: true };
      const found = next(specifier, context);
      return /^\.\.?\//.test(specifier) ? { ...found, url: `${found.url}?${mark}` } : found;
    },
    load(ours, context, next) {
      if (!isOurs(ours) || (ours !== url && !isModule(ours))) return next(ours, context);
      const format = /\.m?ts\?/.test(ours) ? "module-typescript" : "module";
      return next(ours, { ...context, format });
    },
  });
  try {
    return (await import(url)) as object;
  } finally {
    hooks.deregister();
  }
}

function isModule(url: string): boolean {
  return (
    /\.m?[jt]s\?/.test(url) &&
    /^\s*(?:import|export)\b/m.test(readFileSync(fileURLToPath(url), "utf8"))
  );
}

/** The place in a config file, or in a file that it imports, that an error from {@link importConfig} tells. */
export function placeInStack(
  stack: string,
): { file: string; line: number; column?: number } | undefined {
  const match = /(file:\/\/[^\s?]+)\?moxi-load=\d+:(\d+)(?::(\d+))?/.exec(stack);
  if (match === null) return undefined;
  const [, url, line, column] = match;
  return {
    file: fileURLToPath(url!),
    line: Number(line),
    ...(column === undefined ? {} : { column: Number(column) }),
  };
}

/** Takes our query out of what Node says. */
export function withoutMark(text: string): string {
  return text.replace(/\?moxi-load=\d+/g, "");
}
