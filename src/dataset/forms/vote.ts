import { isRecord } from "../../base/json.ts";
import type { RawRow } from "../read/rows.ts";
import { formOf } from "./form.ts";
import type { Form } from "./form.ts";

/** Counts forms over rows; the one that most rows have is the file's. */
export class Vote {
  readonly #tally = new Map<string, { readonly form: Form; count: number }>();
  rows = 0;

  add({ value }: Pick<RawRow, "value">): void {
    this.rows += 1;
    const form = isRecord(value) ? formOf(value) : undefined;
    if (form === undefined) return;
    const key = JSON.stringify(form);
    const entry = this.#tally.get(key);
    if (entry === undefined) this.#tally.set(key, { form, count: 1 });
    else entry.count += 1;
  }

  /** Undefined if no row has a known form. Of equals, the form that came first. */
  get winner(): Form | undefined {
    let best: { form: Form; count: number } | undefined;
    for (const entry of this.#tally.values()) {
      if (best === undefined || entry.count > best.count) best = entry;
    }
    return best?.form;
  }
}
