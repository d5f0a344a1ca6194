import { GetProductsCommand, PricingClient } from "@aws-sdk/client-pricing";
import type { ClientParts } from "./aws.ts";

export type Pricing = Awaited<ReturnType<typeof openPricing>>;

/** The price list. It is served in few regions and tells the prices of all. */
export async function openPricing(parts: ClientParts) {
  const config = await parts.config("pricing");
  const client = new PricingClient({ ...config, region: "us-east-1" });
  parts.onClose(() => client.destroy());
  return {
    /** USD an hour for training on an instance type, on demand; undefined where the list has none. */
    training: (instance: string, region: string): Promise<number | undefined> =>
      parts.attempt(`ask the price of ${instance}`, async () => {
        const { PriceList = [] } = await client.send(
          new GetProductsCommand({
            ServiceCode: "AmazonSageMaker",
            Filters: [
              ["instanceName", instance],
              ["component", "Training"],
              ["regionCode", region],
            ].map(([Field, Value]) => ({ Type: "TERM_MATCH" as const, Field, Value })),
          }),
        );
        for (const product of PriceList) {
          const price = hourly(JSON.parse(product as string));
          if (price !== undefined) return price;
        }
        return undefined;
      }),
  };
}

interface Product {
  readonly terms?: {
    readonly OnDemand?: Readonly<Record<string, { readonly priceDimensions?: Dimensions }>>;
  };
}
type Dimensions = Readonly<
  Record<string, { readonly unit?: string; readonly pricePerUnit?: { readonly USD?: string } }>
>;

/** Each product is a document of its own format, in which only one price an hour stands. */
function hourly(product: unknown): number | undefined {
  const { terms } = product as Product;
  for (const { priceDimensions = {} } of Object.values(terms?.OnDemand ?? {})) {
    for (const { pricePerUnit } of Object.values(priceDimensions)) {
      const price = Number(pricePerUnit?.USD);
      if (price > 0) return price;
    }
  }
  return undefined;
}
