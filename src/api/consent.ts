import { MoxiError } from "../base/errors.ts";
import { costOf } from "../run/cost.ts";
import type { Price } from "../run/cost.ts";
import type { Plan } from "../run/plan.ts";

/** What a run that is about to start can cost. */
export interface Offer {
  readonly target: Plan["target"];
  /** The instance type. */
  readonly machine: string;
  readonly spot: boolean;
  readonly region: string;
  readonly price: Price;
  /** The longest that it is paid for. */
  readonly maxSeconds: number;
  /** USD: that time at the price on demand. */
  readonly worstUsd: number;
}

export interface ConsentOptions {
  /** Somebody has agreed already: `--yes`, a limit in dollars, or a plan that was looked at. */
  readonly agreed: boolean;
  /** Asks a person; undefined where nobody can be asked. */
  readonly ask?: ((offer: Offer) => Promise<boolean>) | undefined;
}

/** What the plan can cost; `null` where nothing is paid. */
export function offerOf(plan: Plan, price: Price | undefined): Offer | null {
  const { target, machine, cloud, limits } = plan;
  if (cloud === null || price === undefined || limits.maxSeconds === null) return null;
  const { spot, region } = cloud;
  // A machine that is kept for the next run is paid for too.
  const maxSeconds = limits.maxSeconds + (cloud.warmPoolSeconds ?? 0);
  const worstUsd = costOf(price, maxSeconds);
  return {
    target,
    machine: machine.name,
    spot,
    region,
    price,
    maxSeconds,
    worstUsd,
  };
}

/**
 * Lets nothing that costs money start unless somebody has agreed to the most that it can cost.
 *
 * @throws E_BUDGET where nobody has agreed and nobody can be asked, E_INTERRUPTED where the answer is no
 */
export async function consent(offer: Offer | null, { agreed, ask }: ConsentOptions): Promise<void> {
  if (offer === null || agreed) return;
  const { target, machine, worstUsd } = offer;
  const most = `$${worstUsd.toFixed(2)}`;
  if (ask === undefined) {
    throw new MoxiError("E_BUDGET", `training on ${target} (${machine}) can cost up to ${most}`, {
      hint: `agree with --yes, or set a limit: --max-usd ${Math.ceil(Math.min(worstUsd, 10))}`,
    });
  }
  if (await ask(offer)) return;
  throw new MoxiError("E_INTERRUPTED", "nothing was started and nothing sent");
}
