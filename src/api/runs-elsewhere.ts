import { MoxiError, toMoxiError } from "../base/errors.ts";
import type { Plan } from "../run/plan.ts";
import { readSeen, writeSeen } from "../store/seen.ts";
import type { RunRecord } from "../store/runs.ts";
import type { ListedRun, Target } from "../targets/target.ts";
import type { Context } from "./context.ts";
import { refresh } from "./elsewhere.ts";
import { refsOf } from "./open.ts";
import { nothing, planned, summaryOf } from "./runs.ts";
import type { RunSummary } from "./runs.ts";
import { openElsewhere, openTarget } from "./targets.ts";

export interface ElsewhereOptions {
  /** The newest so many; `null` for all. */
  readonly limit: number | null;
  /** Also runs that this project does not know. */
  readonly all: boolean;
}

/** How long a list of runs waits for a cloud. */
const patienceMs = 10_000;
/** One request tells the newest so many: whether a run that was over has gone on. */
const listed = 100;

/** Looks at runs that live in a cloud: what is over from what was seen of it, the others there. */
export async function lookElsewhere(
  context: Context,
  records: readonly RunRecord[],
  { limit, all }: ElsewhereOptions,
): Promise<{ readonly known: readonly RunSummary[]; readonly others: readonly RunSummary[] }> {
  const [late, done] = [new AbortController(), new AbortController()];
  const bell = context.clock.sleep(patienceMs, done.signal).then(() => late.abort());
  const { signal } = late;
  const open = opener(context, signal);
  const known = Promise.all(
    records.map(async (record) => {
      try {
        return await inTime(signal, look(context, await open(record.plan), record));
      } catch (error) {
        return (await remembered(record)) ?? unknown(record, error);
      }
    }),
  );
  const others = all ? inTime(signal, elsewhere(context, limit, signal)) : Promise.resolve([]);
  try {
    const [told, rest] = await Promise.all([known, others]);
    return { known: told, others: rest };
  } finally {
    done.abort();
    await bell;
  }
}

interface Opened {
  readonly target: Target;
  /** The newest runs by their ids, as the target lists them. */
  readonly list: ReadonlyMap<string, ListedRun>;
}

/** Opens each region once, and asks each once for its list. */
function opener(context: Context, signal: AbortSignal): (plan: Plan) => Promise<Opened> {
  const opened = new Map<string, Promise<Opened>>();
  return (plan) => {
    const key = `${plan.target} ${plan.cloud?.region}`;
    const known = opened.get(key) ?? inTime(signal, openPlace(context, plan, signal));
    opened.set(key, known);
    return known;
  };
}

async function openPlace(context: Context, plan: Plan, signal: AbortSignal): Promise<Opened> {
  const target = await openTarget(context, plan.target, { plan, signal });
  const runs = await target.list({ limit: listed });
  return { target, list: new Map(runs.map((each) => [each.run, each])) };
}

async function look(
  context: Context,
  { target, list }: Opened,
  record: RunRecord,
): Promise<RunSummary> {
  const newest = list.get(record.run)?.attempt ?? 0;
  if (newest <= record.attempts.length) {
    const told = await remembered(record);
    if (told !== undefined) return told;
  }
  const fresh = await refresh(context, record, target);
  const refs = refsOf(fresh);
  const status = await target.status(refs.at(-1)!);
  const events = (await Promise.all(refs.map((ref) => target.milestones(ref)))).flat();
  const isOver = status.state === "ended" || status.state === "gone";
  // A job that the service does not know yet may still come.
  if (isOver && status.stages !== undefined) {
    await writeSeen(fresh.folder, { attempts: fresh.attempts.length, status, events });
  }
  return summaryOf(fresh, events, status);
}

/** What was seen of a run when it was over. */
async function remembered(record: RunRecord): Promise<RunSummary | undefined> {
  const seen = await readSeen(record.folder);
  if (seen?.attempts !== record.attempts.length) return undefined;
  return summaryOf(record, seen.events, seen.status);
}

function unknown(record: RunRecord, error: unknown): RunSummary {
  const { message } = toMoxiError(error);
  return { ...nothing(record.run), ...planned(record), status: "unknown", error: message };
}

async function elsewhere(
  context: Context,
  limit: number | null,
  signal: AbortSignal,
): Promise<readonly RunSummary[]> {
  const targets = await openElsewhere(context, signal);
  if (targets.length === 0) {
    throw new MoxiError("E_AWS_SETTINGS", "no cloud is set up here that could know other runs", {
      hint: "write AWS_REGION and credentials into .env, or AWS_PROFILE",
    });
  }
  const lists = await Promise.all(
    targets.map(async (target) => {
      const runs = await target.list({ limit });
      return runs.map(({ run, at, status }) => ({
        ...nothing(run),
        status,
        target: target.name,
        createdAt: nothing(run).createdAt ?? at,
      }));
    }),
  );
  return lists.flat();
}

/** Gives up waiting, so that a cloud which does not answer keeps nobody from the other runs. */
async function inTime<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const late = new Promise<never>((_done, fail) => {
    const giveUp = () =>
      fail(
        new MoxiError("E_NETWORK", `no answer within ${patienceMs / 1000} s`, {
          hint: "check the network, then run the same command again",
        }),
      );
    if (signal.aborted) giveUp();
    else signal.addEventListener("abort", giveUp, { once: true });
  });
  return Promise.race([work, late]);
}
