import { formatCount, plural } from "../base/format.ts";
import type { Problem, ProblemPlace } from "./report.ts";
import { rules } from "./rules/catalog.ts";

/** A problem on one line: "3 rows: no answer". Safe to print, as problems are. */
export function problemText({ code, count, cause, places }: Problem): string {
  if (rules[code].of === "row") return `${plural(count, "row")}: ${cause}`;
  const [place] = places;
  const more = count > 1 ? ` (and ${formatCount(count - 1)} more)` : "";
  if (place === undefined) return cause;
  const at = place.line === undefined ? "" : `:${place.line}`;
  return `${place.file}${at}: ${cause}${place.detail === undefined ? "" : ` (${place.detail})`}${more}`;
}

/** A place on one line, as editors link it: "rows.json:12:5 (row 4) output: is empty". */
export function placeText({ file, line, column, row, field, detail }: ProblemPlace): string {
  const position = [file, line, line === undefined ? undefined : column]
    .filter((part) => part !== undefined)
    .join(":");
  // Of JSON Lines they are the same.
  const counted = row === undefined || row === line ? "" : ` (row ${row})`;
  const said = detail ?? "";
  // Most details name the field themselves.
  const named = field === undefined || said.includes(field) ? "" : ` ${field}`;
  return `${position}${counted}${named}${said === "" ? "" : `${named === "" ? "" : ":"} ${said}`}`;
}
