import { readdirSync } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { MoxiError, systemCode } from "../base/errors.ts";
import { nearestName } from "../base/format.ts";
import { normalRunId, runIdPattern, runTime } from "../run/id.ts";

/**
 * The ids of the runs in a folder, newest first. Reads names only, so that ten thousand runs cost
 * nothing; a run whose id tells no time (`--run-id`) is as old as its plan.
 */
export async function listRunIds(runs: string, limit: number | null = null): Promise<string[]> {
  const times = new Map<string, string>();
  // Of the ids that tell their time, and so sort by it, no more are looked at than are listed.
  const names = entries(runs).sort().reverse();
  for (const id of names) {
    if (times.size === limit) break;
    if (runTime(id) !== undefined) times.set(id, id.slice(5, 20));
  }
  const timeless = names.filter((id) => runTime(id) === undefined && runIdPattern.test(id));
  await Promise.all(
    timeless.map(async (id) => times.set(id, asInId((await planTime(runs, id)).toISOString()))),
  );
  const ids = [...times.keys()].sort((a, b) => order(times.get(b)!, times.get(a)!) || order(b, a));
  const chosen = ids.slice(0, limit ?? undefined);
  const tied = chosen.filter((id, index) =>
    [chosen[index - 1], chosen[index + 1]].some(
      (other) => times.get(other ?? "") === times.get(id),
    ),
  );
  // An id tells the second; the plan's file tells more.
  await Promise.all(
    tied.map(async (id) => {
      const more = (await planTime(runs, id)).toISOString();
      times.set(id, `${times.get(id)} ${more}`);
    }),
  );
  return chosen.sort((a, b) => order(times.get(b)!, times.get(a)!));
}

/** `2026-11-23T14:12:07.000Z` as ids tell it: `20261123-141207`. */
function asInId(time: string): string {
  return time.replace(/[-:]/g, "").replace("T", "-").slice(0, 15);
}

const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** The newest run's id, if the project has a run. */
export async function newestRunId(runs: string): Promise<string | undefined> {
  // More than one, because an id tells the second and two runs may share it.
  return (await listRunIds(runs, 20))[0];
}

/**
 * The run that a user means: its id, or what no other id begins or ends with ("calm-otter-7f3k",
 * "7f3k"); without a name the newest. E_RUN_NOT_FOUND, with the nearest name.
 */
export async function resolveRun(runs: string, name?: string): Promise<string> {
  return (await findRun(runs, name)) ?? Promise.reject(await runNotFound(runs, name));
}

/** The same, undefined where there is no such run; E_RUN_NOT_FOUND where there are several. */
export async function findRun(runs: string, name?: string): Promise<string | undefined> {
  return name === undefined ? newestRunId(runs) : pickRun(name, await listRunIds(runs));
}

/** The one of some ids that a name means; E_RUN_NOT_FOUND where it means several. */
export function pickRun(name: string, ids: readonly string[]): string | undefined {
  const exact = normalRunId(name);
  if (exact !== undefined && ids.includes(exact)) return exact;
  const found = ids.filter(
    (id) =>
      name !== "" &&
      (id.startsWith(name) || id.startsWith(`moxi-${name}`) || id.endsWith(`-${name}`)),
  );
  if (found.length < 2) return found[0];
  throw new MoxiError("E_RUN_NOT_FOUND", `"${name}" fits ${found.length} runs`, {
    hint: "type more of the id",
    details: found.slice(0, 10),
  });
}

/** Says that there is no such run, and what may have been meant; `elsewhere` follows "in this project". */
export async function runNotFound(
  runs: string,
  name: string | undefined,
  elsewhere = "",
): Promise<MoxiError> {
  if (name === undefined) {
    return new MoxiError("E_RUN_NOT_FOUND", `there is no run in this project yet${elsewhere}`, {
      hint: "moxi train starts one",
      place: { file: runs },
    });
  }
  const nearest = nearestRun(name, await listRunIds(runs));
  const text = `there is no run "${name}" in this project${elsewhere}`;
  return new MoxiError("E_RUN_NOT_FOUND", text, {
    hint: nearest === undefined ? "moxi runs lists them" : `did you mean ${nearest}?`,
  });
}

/** People type the whole id, or its words. */
function nearestRun(name: string, ids: readonly string[]): string | undefined {
  const byName = new Map(ids.map((id) => [id, id]));
  for (const id of ids) byName.set(id.split("-").slice(-3).join("-"), id);
  return byName.get(nearestName(name, byName.keys()) ?? "");
}

function entries(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (systemCode(error) === "ENOENT") return [];
    throw error;
  }
}

/** When a run's plan was written, which happens once; long ago when it has none. */
async function planTime(runs: string, id: string): Promise<Date> {
  try {
    return (await stat(join(runs, id, "plan.json"))).mtime;
  } catch {
    return new Date(0); // listed last; whoever reads the run is told what is wrong with it
  }
}
