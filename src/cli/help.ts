import type { StricliIntegration } from "@stricli/core";
import type { Cli } from "./cli.ts";
import { configFlags, kebab } from "./flags.ts";
import type { Style } from "./terminal.ts";

type HelpTarget = Parameters<
  NonNullable<StricliIntegration<Cli>["flag"]>["run"]
>[1]["result"]["target"];

/** The help of the program or of one command. */
export function helpText(target: HelpTarget, prefix: readonly string[], style: Style): string {
  const name = prefix.join(" ");
  if ("getAllEntries" in target) {
    return page(style, [
      [undefined, [target.brief]],
      ["usage", [`${name} <command> [flags]`]],
      [
        "commands",
        columns(
          target.getAllEntries().map((entry) => [entry.name.original, entry.target.brief]),
          style,
        ),
      ],
      [
        undefined,
        [
          `${name} <command> --help    what a command takes`,
          `${name} --version           which version this is`,
        ],
      ],
    ]);
  }
  const { flags = {}, aliases = {}, positional } = target.parameters;
  const places = positional?.kind === "tuple" ? positional.parameters : [];
  const nameOf = ({ placeholder = "VALUE", optional }: (typeof places)[number]) =>
    optional === true ? `[${placeholder.toUpperCase()}]` : placeholder.toUpperCase();
  const rows = Object.entries(flags).map(([key, flag]) => {
    const alias = Object.entries(aliases).find(([, named]) => named === key)?.[0];
    const value = flag.kind === "boolean" ? "" : ` ${flag.placeholder ?? "VALUE"}`;
    return {
      isSetting: key in configFlags,
      row: [
        `${alias === undefined ? "" : `-${alias}, `}--${kebab(key)}${value}`,
        flag.brief,
      ] as const,
    };
  });
  const rowsOf = (setting: boolean) =>
    columns(
      rows.filter(({ isSetting }) => isSetting === setting).map(({ row }) => row),
      style,
    );
  return page(style, [
    [undefined, [target.brief]],
    ["usage", [[name, ...places.map(nameOf), "[flags]"].join(" ")]],
    ...places.map(({ placeholder = "value", brief }): Section => [placeholder, [brief]]),
    ["flags", rowsOf(false)],
    ["settings, the same as in moxi.config.ts", rowsOf(true)],
  ]);
}

type Section = readonly [title: string | undefined, lines: readonly string[]];

function page(style: Style, sections: readonly Section[]): string {
  return sections
    .filter(([, lines]) => lines.length > 0)
    .map(([title, lines]) =>
      (title === undefined ? lines : [style.bold(title), ...lines.map((line) => `  ${line}`)])
        .map((line) => `${line}\n`)
        .join(""),
    )
    .join("\n");
}

function columns(rows: readonly (readonly [string, string])[], style: Style): string[] {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `${style.cyan(left.padEnd(width))}  ${right}`);
}
