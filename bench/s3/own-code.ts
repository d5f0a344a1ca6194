import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

interface Profile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string };
    readonly children?: readonly number[];
  }[];
  readonly samples: readonly number[];
  /** Microseconds before each sample. */
  readonly timeDeltas: readonly number[];
}

const collector = "(garbage collector)";

/**
 * Seconds that a program's own functions took, the packages in its bundle among them, and V8's pauses
 * to collect what they left: in all of its threads, by the profiles that `node --cpu-prof` wrote into
 * a folder. What Node's functions did for them is not in it. Rather too many: a sample does not know
 * that the thread waited for a core, nor whose garbage it was.
 */
export function ownSeconds(folder: string): number {
  const profiles = readdirSync(folder).map(
    (name) => JSON.parse(readFileSync(join(folder, name), "utf8")) as Profile,
  );
  return profiles.reduce((sum, profile) => sum + ownMicroseconds(profile), 0) / 1e6;
}

function ownMicroseconds({ nodes, samples, timeDeltas }: Profile): number {
  const urls = new Map(nodes.map(({ id, callFrame }) => [id, callFrame.url]));
  const own = new Set<number>();
  // A caller stands before those that it calls.
  for (const { id, callFrame, children = [] } of nodes) {
    const { functionName, url } = callFrame;
    if (url.startsWith("file:") || functionName === collector) own.add(id);
    if (!own.has(id)) continue;
    // What is of no file V8 does in its caller's place: a regular expression, say.
    for (const child of children) if (urls.get(child) === "") own.add(child);
  }
  return samples.reduce((sum, id, at) => sum + (own.has(id) ? timeDeltas[at]! : 0), 0);
}
