import { readPrice } from "../../account/price.ts";
import type { Planned } from "../target.ts";
import { machineOf, placeOf } from "./place.ts";
import type { Wishes } from "./place.ts";

/**
 * The place as far as it is known without asking AWS, or having an account: bucket and role that
 * are not set yet have names of no account, and prices are the catalog's.
 */
export function offlinePlace(wishes: Wishes, region = "us-east-1"): Planned {
  const silent = {
    settings: { region },
    ecr: () => Promise.resolve({ digest: () => Promise.resolve(undefined) }),
    pricing: () => Promise.resolve({ training: () => Promise.resolve(undefined) }),
  };
  const { bucket = "none", roleArn = "arn:aws:iam::000000000000:role/none" } = wishes;
  return {
    machines: () => Promise.resolve([machineOf(wishes)]),
    cloud: () => placeOf({ ...wishes, bucket, roleArn }, silent),
    price: ({ machine, cloud }) =>
      readPrice(silent, [machine.name, ...(cloud?.fallbacks ?? [])], new Date(0)),
  };
}
