import type { Update } from "../../api/watch.ts";
import type { Host } from "../../base/host.ts";
import type { View } from "../../run/fold.ts";

/** How a run came to be followed. */
export interface Start {
  readonly how: "created" | "attached" | "resumed";
  readonly run: string;
  /** An earlier run of the same plan that has ended. */
  readonly previous: string | null;
}

/** Shows what happens before and during a run: to people, or to programs. */
export interface Presenter extends Host {
  started(start: Start): void;
  update(update: Update): void;
  ended(view: View): void;
  /** The watching was left, and the run goes on; or ends later, where that was asked for. */
  left(run: string, isToEnd: boolean): void;
  /** Nothing more is shown live. */
  close(): void;
}
