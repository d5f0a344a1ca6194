// Writes schema/*.json from the zod schemas. `--check` only tells whether they are up to date.
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import * as z from "zod";
import { configSchema } from "../src/config/schema.ts";
import { eventSchema, jobSchema, planSchema, recipeSchema } from "../src/run/schemas.ts";

const schemas: Record<string, z.ZodType> = {
  recipe: recipeSchema,
  plan: planSchema,
  job: jobSchema,
  event: eventSchema,
  config: configSchema,
};
const folder = fileURLToPath(new URL("../schema/", import.meta.url));
const comments = await commentsOf("../src/config/config.ts");
const stale: string[] = [];
for (const [name, schema] of Object.entries(schemas)) {
  const path = `${folder}${name}.json`;
  const json = z.toJSONSchema(schema);
  if (name === "config") describe(json, comments);
  const text = `${JSON.stringify({ title: `moxi ${name}`, ...json }, null, 2)}\n`;
  if (text === (await readFile(path, "utf8").catch(() => ""))) continue;
  stale.push(name);
  if (!process.argv.includes("--check")) await writeFile(path, text);
}
if (process.argv.includes("--check") && stale.length > 0) {
  process.stderr.write(`out of date: ${stale.join(", ")} (run: node scripts/schemas.ts)\n`);
  process.exitCode = 1;
}

/** The comments of UserConfig's fields, which a .ts config shows on hover; moxi.config.json gets the same. */
async function commentsOf(path: string): Promise<Map<string, string>> {
  const source = await readFile(new URL(path, import.meta.url), "utf8");
  const [, body = ""] = /interface UserConfig \{(.*?)\n\}/s.exec(source) ?? [];
  return new Map(
    [...body.matchAll(/\/\*\* (.*?) \*\/\s+(\w+)\?:/g)].map(([, text, name]) => [name!, text!]),
  );
}

function describe(schema: z.core.JSONSchema.BaseSchema, texts: Map<string, string>): void {
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    if (name === "$schema" || typeof field !== "object") continue;
    const description = texts.get(name);
    if (description === undefined) throw new Error(`UserConfig.${name} has no comment`);
    field.description = description;
    describe(field, texts);
  }
}
