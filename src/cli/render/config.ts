import type { ConfigReport } from "../../api/config.ts";
import { printable } from "../../base/format.ts";
import type { Style } from "../terminal.ts";
import { fit, padEnd, width } from "./text.ts";
import { pathText } from "./words.ts";

/** The table of `moxi config`: every setting, its value and where the value comes from. */
export function configLines(
  report: ConfigReport,
  options: { readonly columns: number; readonly style: Style; readonly cwd: string },
): string[] {
  const { columns, style, cwd } = options;
  const rows = report.settings.map(({ key, value, source, where }) => ({
    key,
    value: value === null ? "–" : printable(valueText(value)),
    from: printable(where ?? source),
    isDefault: source === "default",
  }));
  const keys = Math.max(...rows.map((row) => width(row.key)));
  const froms = Math.max(...rows.map((row) => width(row.from)));
  const room = columns === Infinity ? Infinity : Math.max(16, columns - keys - froms - 4);
  const values = Math.min(room, Math.max(...rows.map((row) => width(row.value))));
  const file = report.file === null ? "no config file" : pathText(report.file, cwd);
  return [
    style.dim(`${file}; strongest first: flag, environment, .env, config file, default`),
    "",
    ...rows.map(({ key, value, from, isDefault }) => {
      const line = `${padEnd(key, keys)}  ${padEnd(fit(value, values), values)}  `;
      return isDefault ? style.dim(line + from) : line + style.cyan(from);
    }),
    "",
    style.dim("– is decided later, from the data and the machine, or is not needed"),
  ];
}

function valueText(value: string | number | boolean | readonly string[]): string {
  return typeof value === "object" ? value.join(" | ") : String(value);
}
