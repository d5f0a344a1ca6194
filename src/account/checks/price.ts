import type { Aws } from "../../aws/aws.ts";
import type { Check } from "../../run/check.ts";
import { catalogPrice } from "../catalog.ts";
import type { Wanted } from "../wanted.ts";

/**
 * What the run can cost at most: the time limit at the price on demand, which is what spot machines
 * cost at most too. Without a price nobody can agree to one, so that is a failure.
 */
export async function checkPrice(aws: Aws, wanted: Wanted): Promise<Check> {
  const name = "price";
  const { instance, region, maxSeconds } = wanted;
  const asked = await (await aws.pricing()).training(instance, region).catch(() => undefined);
  const most = (perHour: number) => `at most $${((perHour * maxSeconds) / 3600).toFixed(2)}`;
  if (asked !== undefined) {
    const message = `${most(asked)}: ${instance} costs $${asked} an hour in ${region}`;
    return { name, result: "ok", message };
  }
  const known = catalogPrice(instance);
  if (known !== undefined) {
    return {
      name,
      result: "warning",
      message: `${most(known.perHour)} by the prices of ${known.date} in ${known.region}: today's price could not be read`,
      hint: "allow pricing:GetProducts to find out",
    };
  }
  return {
    name,
    code: "E_BUDGET",
    result: "failed",
    message: `what ${instance} costs could not be found out`,
    hint: "look at https://aws.amazon.com/sagemaker/ai/pricing/ for its name, and allow pricing:GetProducts",
  };
}
