// Checks a dataset by every rule in a process of its own and prints what it took:
//   node bench/dataset/check.ts FILE
import { checkDataset } from "../../src/dataset/check.ts";

const start = performance.now();
const { rows, problems } = await checkDataset({ path: process.argv[2]!, cwd: process.cwd() });
const seconds = (performance.now() - start) / 1000;
const megabytes = process.resourceUsage().maxRSS / 1000;
process.stdout.write(
  `${JSON.stringify({ rows: rows.total, seconds, megabytes, problems: problems.length })}\n`,
);
