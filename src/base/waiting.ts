import type { Host } from "./host.ts";

/** Whoever looks at a silent terminal for so long asks what it does. */
const patienceMs = 1000;

/** By host: what is waited for, and has been for too long, the oldest first. */
const long = new WeakMap<Host, Set<{ readonly what: string }>>();

/** Tells a host that wants to hear it what is waited for, once that takes longer than a moment. */
export async function tellWait<T>(host: Host, what: string, work: Promise<T>): Promise<T> {
  if (host.waiting === undefined) return work;
  const waits = long.get(host) ?? new Set();
  long.set(host, waits);
  const wait = { what };
  const tell = () => host.waiting?.([...waits][0]?.what ?? null);
  const timer = setTimeout(() => {
    waits.add(wait);
    tell();
  }, patienceMs).unref();
  try {
    return await work;
  } finally {
    clearTimeout(timer);
    if (waits.delete(wait)) tell();
  }
}
