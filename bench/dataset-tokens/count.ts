// Counts the tokens of FOLDER/rows.jsonl as `moxi data stats` does: node bench/dataset-tokens/count.ts FOLDER
import { join } from "node:path";
import { createContext } from "../../src/api/context.ts";
import { dataStats } from "../../src/api/data-stats.ts";
import { keepYoungHeapSmall } from "../../src/cli/memory.ts";

keepYoungHeapSmall();
const folder = process.argv[2]!;
const started = performance.now();
const context = createContext({ cwd: folder, env: {} });
const { tokens } = await dataStats(context, {
  path: join(folder, "rows.jsonl"),
  flags: { model: join(folder, "model") },
});
const seconds = (performance.now() - started) / 1000;
const megabytes = process.resourceUsage().maxRSS / 1000;
const problems = tokens!.problems.map(({ code, count }) => [code, count]);
process.stdout.write(
  JSON.stringify({ ...tokens, histogram: undefined, problems, seconds, megabytes }),
);
