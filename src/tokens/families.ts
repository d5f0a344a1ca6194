import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { compileTemplate } from "../model/template.ts";
import type { Render } from "../model/template.ts";
import type { CanonicalRow } from "../dataset/canonical.ts";

export type Conversation = Extract<CanonicalRow, { readonly messages: unknown }>;

/** A generation template of the training program, and what makes it write as one family does. */
export interface Family {
  readonly name: string;
  readonly render: Render;
  readonly arguments: Readonly<Record<string, unknown>>;
}

export interface Families {
  readonly families: readonly Family[];
  /** What tells families apart: conversations that a model's own template must write the same. */
  readonly probes: readonly Conversation[];
}

/** Reads what the training program knows of families (`moxi_train/finetune/templates`). */
export async function readFamilies(folder: string): Promise<Families> {
  const text = (name: string) => readFile(join(folder, name), "utf8");
  const listed = JSON.parse(await text("families.json")) as readonly {
    readonly name: string;
    readonly template: string;
    readonly with?: Readonly<Record<string, unknown>>;
  }[];
  const compiled = new Map<string, Render>();
  for (const { template } of listed) {
    if (!compiled.has(template))
      compiled.set(template, compileTemplate(await text(template), true));
  }
  const probes = JSON.parse(await text("probes.json")) as readonly (Omit<Conversation, "tools"> & {
    readonly tools?: unknown;
  })[];
  return {
    families: listed.map(({ name, template, with: values }) => ({
      name,
      render: compiled.get(template)!,
      arguments: values ?? {},
    })),
    probes: probes.map(({ tools, ...probe }) =>
      tools === undefined ? probe : { ...probe, tools: JSON.stringify(tools) },
    ),
  };
}
