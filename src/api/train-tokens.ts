import { isMoxiError } from "../base/errors.ts";
import { formatCount } from "../base/format.ts";
import type { Host } from "../base/host.ts";
import type { LoadedConfig } from "../config/loaded.ts";
import type { Inspect, Inspection } from "../dataset/prepare.ts";
import type { Problem } from "../dataset/report.ts";
import { levelsOf } from "../dataset/rules/catalog.ts";
import type { ResolvedModel } from "../model/resolve.ts";
import type { SampleMaker } from "../tokens/sample.ts";
import type { TokenStats } from "../tokens/survey.ts";
import type { Context } from "./context.ts";
import { checkSettings } from "./data-check.ts";
import { openSampleMaker } from "./data-tokens.ts";

/** Of a larger dataset only every second, third ... row is looked at: half a minute at most. */
const surveyedBytes = 64_000_000;

/**
 * Looks at the rows of a run as its training will see them: what the limit cuts, which rows teach
 * nothing, which the chat template refuses. Nothing of it where there is no tokenizer: the toy's is
 * made of the rows, and of others a warning tells why.
 */
export async function inspectTokens(
  context: Context,
  loaded: LoadedConfig,
  model: ResolvedModel,
  rows: Parameters<Inspect>[0],
  bytes: number,
): Promise<Inspection & { readonly tokens: Omit<TokenStats, "problems"> | undefined }> {
  const { config } = loaded;
  const maker = await sampleMakerOf(context, loaded, model);
  if (maker === undefined) return { problems: [], bad: new Set(), tokens: undefined };
  const every = Math.max(1, Math.ceil(bytes / surveyedBytes));
  const { levels, strict } = checkSettings(config);
  const wanted = levelsOf({ levels, strict });
  const { TokenSurvey } = await import("../tokens/survey.ts");
  const survey = new TokenSurvey(maker, config);
  for await (const { row, heldOut } of rows) {
    if (row.index % every === 0) survey.add(row, !heldOut);
  }
  const { problems: found, ...stats } = survey.finish();
  const some = every === 1 ? [] : [`one of ${formatCount(every)} rows was counted`];
  const tokens = { ...stats, estimates: [...stats.estimates, ...some] };
  const problems = found.flatMap((problem): Problem[] => {
    const severity = wanted[problem.code];
    return severity === "off" ? [] : [{ ...problem, severity }];
  });
  const bad = problems
    .filter(({ severity }) => severity === "error")
    .flatMap(({ code }) => survey.rowsWith(code));
  tellTokens(context.host, tokens);
  return { problems, bad: new Set(bad), tokens };
}

async function sampleMakerOf(
  context: Context,
  loaded: LoadedConfig,
  model: ResolvedModel,
): Promise<SampleMaker | undefined> {
  try {
    return (await openSampleMaker(context, loaded, model)) ?? undefined;
  } catch (error) {
    if (!isMoxiError(error)) throw error;
    const text = `the rows are not looked at as the model will see them: ${error.message}`;
    context.host.notify({ type: "warning", text });
    return undefined;
  }
}

/** Tells what was counted, on one line. */
export function tellTokens(host: Host, stats: Omit<TokenStats, "problems">): void {
  const { tokens, learned, kept, limit, limitReason, estimates } = stats;
  const about = estimates.length > 0 ? "about " : "";
  const text = `${about}${formatCount(tokens)} tokens, ${formatCount(learned)} of them learned, in ${formatCount(kept)} sequences of at most ${formatCount(limit)} (${limitReason})`;
  host.notify({ type: "task", id: "tokens", state: "done", text });
}
