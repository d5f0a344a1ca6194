import type { Check } from "../../run/check.ts";
import { costOf } from "../../run/cost.ts";
import type { Price } from "../../run/cost.ts";
import type { Wanted } from "../wanted.ts";

/**
 * What the run can cost at most: the time limit at the price on demand, which is what spot machines
 * cost at most too. Without a price nobody can agree to one, so that is a failure.
 */
export function checkPrice(price: Price | undefined, wanted: Wanted): Check {
  const name = "price";
  const { instance, region, maxSeconds, keptSeconds = 0 } = wanted;
  if (price === undefined) {
    return {
      name,
      code: "E_BUDGET",
      result: "failed",
      message: `what ${instance} costs could not be found out`,
      hint: "look at https://aws.amazon.com/sagemaker/ai/pricing/ for its name, and allow pricing:GetProducts",
    };
  }
  const most = `at most $${costOf(price, maxSeconds + keptSeconds).toFixed(2)}`;
  if (price.source === "AWS's price list") {
    const message = `${most}: ${instance} costs $${price.perHour} an hour in ${region}`;
    return { name, result: "ok", message };
  }
  return {
    name,
    result: "warning",
    message: `${most} by the prices of ${price.date} in ${price.region}: today's price could not be read`,
    hint: "allow pricing:GetProducts to find out",
  };
}
