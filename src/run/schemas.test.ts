import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { eventSchema } from "./schemas.ts";

const stamp = { v: 1, run: "moxi-x", attempt: 1, boot: 1, seq: 1, at: "2026-11-23T14:12:07.000Z" };

describe("schemas", () => {
  it("schema/*.json is what the schemas generate", () => {
    const script = fileURLToPath(new URL("../../scripts/schemas.ts", import.meta.url));
    expect(() => execFileSync(process.execPath, [script, "--check"])).not.toThrow();
  });

  it("takes an event and refuses one with a field of another", () => {
    const event = { ...stamp, type: "resumed", fromStep: 3 };
    expect(eventSchema.safeParse(event).success).toBe(true);
    expect(eventSchema.safeParse({ ...event, loss: 1 }).success).toBe(false);
    expect(eventSchema.safeParse({ ...event, type: "unknown" }).success).toBe(false);
  });
});
