import { printable } from "../../base/format.ts";
import type { MoxiError, Place } from "../../base/errors.ts";
import type { Style } from "../terminal.ts";
import { labelled } from "./text.ts";
import { asTyped } from "./words.ts";

/** An error for people: what happened, where, and what mends it. */
export function errorLines(
  error: MoxiError,
  { columns, style }: { readonly columns: number; readonly style: Style },
): string[] {
  const place = error.place === undefined ? "" : placeText(error.place);
  const block = (label: string, text: string) => labelled(label, printable(text), columns);
  const [first = "", ...more] = block("error  ", error.message);
  return [
    style.red(style.bold(first.slice(0, 5))) + first.slice(5),
    ...more,
    ...(place === "" ? [] : block("   at  ", place)),
    ...error.details.flatMap((detail) => block("       ", detail)),
    ...fixLines(error, block),
    ...error.others.flatMap((other) => [
      ...block(" also  ", other.message),
      ...fixLines(other, block),
    ]),
    style.dim(` code  ${error.code}`),
  ];
}

/** A command stays on one line, which the terminal breaks: a line end of ours would be typed too. */
function fixLines(
  { hint, command }: { readonly [K in "hint" | "command"]?: string | undefined },
  block: (label: string, text: string) => string[],
): string[] {
  return [
    ...(hint === undefined ? [] : block("  fix  ", asTyped(hint))),
    ...(command === undefined
      ? []
      : [`${hint === undefined ? "  fix  " : "       "}${printable(command)}`]),
  ];
}

/** As editors and terminals link it: "data.jsonl:12:5, row 12, field output". */
export function placeText(place: Place): string {
  const { file, line, column, row, field } = place;
  const position = [file, line, line === undefined ? undefined : column]
    .filter((part) => part !== undefined)
    .join(":");
  return [
    file === undefined && line !== undefined ? `line ${position}` : position,
    row === undefined ? "" : `row ${row}`,
    field === undefined ? "" : `field ${field}`,
  ]
    .filter((part) => part !== "")
    .join(", ");
}
