import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { fromErrorJson, toMoxiError } from "../base/errors.ts";
import type { WireCredentials, WireTarget } from "../aws/wire.ts";
import { createMover } from "./mover.ts";
import type { Moved, Mover, MoverOptions, Task } from "./mover.ts";
import type { FromWorker, ToWorker, WorkerStart } from "./worker.ts";

/** The limits are those of all threads together. */
export interface CrewOptions extends MoverOptions {
  /** How many bytes are to be moved: few are not worth a thread. */
  readonly bytes: number;
  /** Given by tests. */
  readonly threads?: number | undefined;
}

/** A thread takes some 40 ms to start, in which one thread moves so much. */
const worthThreads = 64 << 20;
/** Four threads fill 10 Gbit/s. */
const mostThreads = 4;

/** Those who do the tasks: this thread, or several of their own. */
export function createCrew(
  target: WireTarget,
  credentials: WireCredentials,
  options: CrewOptions,
): Mover {
  const { bytes, partBytes, atOnce, heldBytes } = options;
  const most = bytes < worthThreads ? 0 : Math.min(mostThreads, availableParallelism());
  const threads = options.threads ?? (most < 2 ? 0 : most);
  if (threads === 0) return createMover(target, credentials, options);
  const share = (all: number) => Math.ceil(all / threads);
  const each = {
    target,
    partBytes,
    heldBytes: share(heldBytes),
    atOnce: { first: share(atOnce.first), most: share(atOnce.most) },
  };
  const members = Array.from({ length: threads }, () => createMember(each, credentials));
  const waiting: ((member: Member) => void)[] = [];

  // Tasks wait here, not at a thread, so that a slow thread has no queue of its own.
  const pick = async () => {
    const member = members.reduce((best, other) => (other.busy < best.busy ? other : best));
    if (member.busy < each.atOnce.most) {
      member.busy += 1;
      return member;
    }
    return new Promise<Member>((resolve) => waiting.push(resolve));
  };
  return {
    async run(task, onBytes) {
      const member = await pick();
      try {
        return await member.run(task, onBytes);
      } finally {
        const next = waiting.shift();
        if (next === undefined) member.busy -= 1;
        else next(member);
      }
    },
    close: () => members.forEach((member) => member.close()),
  };
}

interface Member extends Mover {
  busy: number;
}

interface Pending {
  readonly onBytes: (bytes: number) => void;
  readonly done: (moved: Moved) => void;
  readonly fail: (error: Error) => void;
}

function createMember(start: WorkerStart, credentials: WireCredentials): Member {
  const file = import.meta.url.endsWith(".ts") ? "./worker.ts" : "./transfer-worker.js";
  const worker = new Worker(new URL(file, import.meta.url), { workerData: start });
  const pending = new Map<number, Pending>();
  const tell = (message: ToWorker) => worker.postMessage(message);
  let lastId = 0;

  const answer = async (need: "get" | "renew", number: number) => {
    try {
      tell({ credentials: number, value: await credentials[need]() });
    } catch (error) {
      tell({ credentials: number, error: toMoxiError(error).toJSON() });
    }
  };
  worker.on("message", (message: FromWorker) => {
    if ("need" in message) return void answer(message.need, message.credentials);
    const one = pending.get(message.id);
    if (one === undefined) return;
    if ("bytes" in message) return one.onBytes(message.bytes);
    pending.delete(message.id);
    if ("error" in message) one.fail(fromErrorJson(message.error));
    else one.done(message.moved);
  });
  let dead: Error | undefined;
  const died = (error: Error) => {
    dead ??= error;
    for (const { fail } of pending.values()) fail(dead);
    pending.clear();
  };
  worker.on("error", died);
  worker.on("exit", (code) => died(new Error(`a transfer thread ended with ${code}`)));
  return {
    busy: 0,
    run(task: Task, onBytes) {
      lastId += 1;
      const id = lastId;
      return new Promise((done, fail) => {
        // Nobody would answer.
        if (dead !== undefined) return fail(dead);
        pending.set(id, { onBytes, done, fail });
        tell({ id, task });
      });
    },
    close: () => void worker.terminate(),
  };
}
