import { inspect } from "node:util";
import { MoxiError } from "../base/errors.ts";
import type { Place } from "../base/errors.ts";
import { nearestName, printable } from "../base/format.ts";
import { isRecord } from "../base/json.ts";
import type { Source } from "./loaded.ts";
import { allowed, settingSchemas } from "./schema.ts";

/** One setting as somebody wrote it. */
export interface Setting extends Source {
  readonly value: unknown;
}

/** Where a key was written: what is shown, and what an error points at. */
export interface Origin extends Source {
  readonly where: string;
  readonly place: Place;
}

interface Problem {
  readonly text: string;
  readonly origin: Origin;
}

/** Settings collected from all places, and all that is wrong with them. */
export class Settings {
  readonly values = new Map<string, Setting>();
  readonly problems: Problem[] = [];

  /** Takes nested or dotted settings; `undefined` means that they are not set. A later value wins. */
  addAll(
    settings: Readonly<Record<string, unknown>>,
    origin: (key: string) => Origin,
    prefix = "",
  ) {
    for (const [name, value] of Object.entries(settings)) {
      const key = prefix + name;
      if (value === undefined) continue;
      if (settingSchemas.has(key)) this.add(key, value, origin(key));
      else if (!isGroup(key)) this.#unknown(key, prefix, origin(key));
      else if (isRecord(value)) this.addAll(value, origin, `${key}.`);
      else this.#wrong(key, value, "an object", origin(key));
    }
  }

  /** Takes one setting; text from outside a config file is read as what the setting takes. */
  add(key: string, written: unknown, origin: Origin): void {
    const schema = settingSchemas.get(key)!;
    const readings =
      typeof written === "string" && origin.source !== "config file"
        ? readingsOf(written)
        : [written];
    const results = readings.map((reading) => schema.safeParse(reading));
    const result = results.find(({ success }) => success);
    if (result === undefined) return this.#wrong(key, written, allowed(schema), origin);
    const { source, where } = origin;
    this.values.set(key, { value: result.data, source, where });
  }

  /** Throws one error that tells everything that is wrong. */
  check(): void {
    const [first, ...others] = this.problems;
    if (first === undefined) return;
    const { place, where } = first.origin;
    if (others.length === 0) {
      const hint = `correct ${where}`;
      throw new MoxiError("E_CONFIG_INVALID", first.text, { hint, place });
    }
    throw new MoxiError("E_CONFIG_INVALID", `${this.problems.length} settings are wrong`, {
      hint: "correct each of them",
      place,
      details: this.problems.map(({ text, origin }) => `${origin.where}: ${text}`),
    });
  }

  #wrong(key: string, value: unknown, what: string, origin: Origin): void {
    this.#problem(key, `${key} must be ${what}, not ${shown(value)}`, origin);
  }

  #unknown(key: string, prefix: string, origin: Origin): void {
    const nearest = nearestSetting(key, prefix);
    const meant = nearest === undefined ? "" : `; did you mean "${nearest}"?`;
    this.#problem(key, `unknown setting "${printable(key).slice(0, 60)}"${meant}`, origin);
  }

  #problem(key: string, text: string, origin: Origin): void {
    this.problems.push({ text, origin: { ...origin, place: { ...origin.place, field: key } } });
  }
}

const keys = [...settingSchemas.keys()];

const isGroup = (key: string): boolean => keys.some((each) => each.startsWith(`${key}.`));

/** The setting that was meant: first among those at the same level, then by the last word of any. */
function nearestSetting(key: string, prefix: string): string | undefined {
  const level = keys
    .filter((each) => each.startsWith(prefix))
    .map((each) => {
      const [name] = each.slice(prefix.length).split(".");
      return prefix + name!;
    });
  const last = new Map(keys.map((each) => [each.split(".").at(-1)!, each]));
  const word = nearestName(key.slice(prefix.length), last.keys());
  return nearestName(key, level) ?? (word === undefined ? undefined : last.get(word));
}

/** What a text can mean, in the order of trust. */
function readingsOf(text: string): unknown[] {
  const readings: unknown[] = [text, Number(text)];
  if (/^(true|1)$/i.test(text)) readings.push(true);
  if (/^(false|0)$/i.test(text)) readings.push(false);
  try {
    readings.push(JSON.parse(text));
  } catch {
    // Not JSON: the readings before it stand.
  }
  return readings;
}

/** A value as an error shows it: on one line, short, printable and without the password of an address. */
function shown(value: unknown): string {
  const text =
    typeof value === "string"
      ? JSON.stringify(value)
      : inspect(value, { depth: 1, breakLength: Infinity, customInspect: false });
  const line = printable(text)
    .replace(/\s+/g, " ")
    .replace(/(\w:\/\/)[^\s/]*@/g, "$1***@");
  return line.length > 80 ? `${line.slice(0, 79)}…` : line;
}
