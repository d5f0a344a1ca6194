import type { Aws } from "../aws/aws.ts";
import type { Price } from "../run/cost.ts";
import { catalogEntry } from "./catalog.ts";

/**
 * What an hour of the dearest of some machines costs on demand, by AWS's price list, else by the
 * catalog; undefined where neither knows one of them.
 */
export async function readPrice(
  aws: Pick<Aws, "pricing"> & { readonly settings: Pick<Aws["settings"], "region"> },
  instances: readonly string[],
  now: Date,
): Promise<Price | undefined> {
  const { region } = aws.settings;
  const pricing = await aws.pricing();
  const prices = await Promise.all(
    instances.map(async (instance): Promise<Price | undefined> => {
      const asked = await pricing.training(instance, region).catch(() => undefined);
      if (asked === undefined) return catalogEntry(instance)?.price;
      const date = now.toISOString().slice(0, 10);
      return { perHour: asked, region, source: "AWS's price list", date };
    }),
  );
  if (prices.includes(undefined)) return undefined;
  return (prices as Price[]).toSorted((a, b) => b.perHour - a.perHour)[0];
}
