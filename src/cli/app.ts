import {
  ArgumentScannerError,
  buildApplication,
  buildRouteMap,
  run,
  text_en,
  version,
} from "@stricli/core";
import type { ApplicationText } from "@stricli/core";
import type { Context } from "../api/context.ts";
import { nearestName } from "../base/format.ts";
import type { Host } from "../base/host.ts";
import type { Cli } from "./cli.ts";
import { config } from "./commands/config.ts";
import { data } from "./commands/data/index.ts";
import { logs } from "./commands/logs.ts";
import { merge } from "./commands/merge.ts";
import { pull } from "./commands/pull.ts";
import { resume } from "./commands/resume.ts";
import { runs } from "./commands/runs.ts";
import { show } from "./commands/show.ts";
import { stop } from "./commands/stop.ts";
import { storage } from "./commands/storage/index.ts";
import { train } from "./commands/train.ts";
import { watch } from "./commands/watch.ts";
import { bare, withoutDots } from "./flags.ts";
import { helpText } from "./help.ts";
import type { Terminal } from "./terminal.ts";
import { argumentError, asksForJson, usageError } from "./usage.ts";

const routes = buildRouteMap<string, Cli>({
  routes: bare({
    train,
    watch,
    logs,
    stop,
    resume,
    runs,
    show,
    pull,
    merge,
    data,
    storage,
    config,
  }),
  docs: { brief: "Fine-tune a language model on your own data." },
});

const rethrow = (error: unknown): never => {
  throw error;
};

/** What stricli would print is thrown instead, so that every error is told in one place and form. */
const text: ApplicationText = {
  ...text_en,
  noCommandRegisteredForInput({ input, corrections }) {
    const names = corrections.map((name) => name.replaceAll("`", ""));
    throw usageError(`there is no command ${input}`, nearestName(input, names));
  },
  exceptionWhileParsingArguments(error) {
    throw error instanceof ArgumentScannerError ? argumentError(error) : error;
  },
  exceptionWhileLoadingCommandFunction: rethrow,
  exceptionWhileLoadingCommandContext: rethrow,
  exceptionWhileRunningCommand: rethrow,
  exceptionWhileRunningIntegrationFlag: ({ exception }) => rethrow(exception),
};

const createApp = (terminal: Terminal) =>
  buildApplication(
    routes,
    {
      name: "moxi",
      scanner: { caseStyle: "allow-kebab-for-camel" },
      localization: { text },
    },
    {
      help: {
        flag: {
          brief: "tell what there is",
          aliases: ["h"],
          global: true,
          defaultForRouteMap: true,
          run: (_app, { result }) =>
            terminal.out.write(helpText(result.target, result.prefix, terminal.out.style)),
        },
      },
      version: version({
        brief: "tell which version this is",
        info: {
          async getCurrentVersion() {
            const { default: manifest } = await import("../../package.json", {
              with: { type: "json" },
            });
            return manifest.version;
          },
        },
      }),
    },
  );

/** Before the command stricli looks a flag up in an object, where it finds `--constructor` too. */
function refuseInherited(first = ""): void {
  const name = first
    .replace(/^-+/, "")
    .replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
  if (first.startsWith("-") && name.split("=")[0]! in {})
    throw usageError(`there is no flag ${first}`);
}

export interface Outside {
  readonly terminal: Terminal;
  /** Makes what the verbs take; a test gives its own. */
  readonly context: (host?: Host) => Context;
  /** Errors are told with their stack trace. */
  readonly debug: boolean;
}

/** Runs one command line and returns its exit code. It never throws. */
export async function runCli(args: readonly string[], outside: Outside): Promise<number> {
  const { terminal } = outside;
  let code = 0;
  const cli: Cli = {
    ...outside,
    exitWith: (given) => void (code = given),
    process: {
      stdout: { write: (text) => terminal.out.write(text) },
      stderr: { write: (text) => terminal.err.write(text) },
    },
  };
  try {
    refuseInherited(args[0]);
    await run(createApp(terminal), args.map(withoutDots), cli);
    return code;
  } catch (error) {
    const { reportError } = await import("./host/report.ts");
    return reportError(error, { terminal, json: asksForJson(args), debug: outside.debug });
  }
}
