import { parentPort, workerData } from "node:worker_threads";
import { fromErrorJson, toMoxiError } from "../base/errors.ts";
import type { ErrorJson } from "../base/errors.ts";
import type { Credentials } from "../aws/sign.ts";
import type { WireTarget } from "../aws/wire.ts";
import { createMover } from "./mover.ts";
import type { Moved, MoverOptions, Task } from "./mover.ts";

// A thread that moves bytes. It asks the main thread for credentials, because these may need a file,
// a program or a network of their own.

export interface WorkerStart extends MoverOptions {
  readonly target: WireTarget;
}

export type ToWorker =
  | { readonly id: number; readonly task: Task }
  | { readonly credentials: number; readonly value: Credentials }
  | { readonly credentials: number; readonly error: ErrorJson };

export type FromWorker =
  | { readonly id: number; readonly moved: Moved }
  | { readonly id: number; readonly error: ErrorJson }
  | { readonly id: number; readonly bytes: number }
  | { readonly need: "get" | "renew"; readonly credentials: number };

/** Progress is told so often at most: each message wakes the main thread. */
const toldMs = 50;
const keptMs = 60_000;

if (parentPort !== null) work(parentPort, workerData as WorkerStart);

function work(port: NonNullable<typeof parentPort>, { target, ...options }: WorkerStart) {
  const tell = (message: FromWorker) => port.postMessage(message);
  const asked = new Map<number, { done(value: Credentials): void; fail(error: Error): void }>();
  let known: { readonly value: Promise<Credentials>; readonly at: number } | undefined;
  const ask = (need: "get" | "renew") => {
    const value = new Promise<Credentials>((done, fail) => {
      asked.set(asked.size, { done, fail });
      tell({ need, credentials: asked.size - 1 });
    });
    known = { value, at: Date.now() };
    value.catch(() => (known = undefined));
    return value;
  };
  const credentials = {
    get: () => (known !== undefined && Date.now() - known.at < keptMs ? known.value : ask("get")),
    renew: () => ask("renew"),
  };
  const mover = createMover(target, credentials, options);
  let toldAt = 0;
  port.on("message", (message: ToWorker) => {
    if ("credentials" in message) {
      const waiting = asked.get(message.credentials)!;
      if ("value" in message) waiting.done(message.value);
      else waiting.fail(fromErrorJson(message.error));
      return;
    }
    const { id, task } = message;
    let bytes = 0;
    const onBytes = (more: number) => {
      bytes += more;
      const now = Date.now();
      if (now - toldAt < toldMs) return;
      toldAt = now;
      tell({ id, bytes });
      bytes = 0;
    };
    mover.run(task, onBytes).then(
      (moved) => {
        if (bytes > 0) tell({ id, bytes });
        tell({ id, moved });
      },
      (error: unknown) => tell({ id, error: toMoxiError(error).toJSON() }),
    );
  });
}
