/** A price that was read off AWS's list and may have changed since. */
export interface CatalogPrice {
  /** USD an hour, on demand, in `region`. */
  readonly perHour: number;
  readonly region: string;
  /** When it was read. */
  readonly date: string;
}

const region = "us-east-1";
const date = "2026-08";

/** SageMaker training, from AWS's price list: for when it cannot be asked. Other regions cost more, by up to a third. */
const perHour: Readonly<Record<string, number>> = {
  "ml.g4dn.xlarge": 0.7364,
  "ml.g4dn.2xlarge": 0.94,
  "ml.g4dn.12xlarge": 4.89,
  "ml.g5.xlarge": 1.408,
  "ml.g5.2xlarge": 1.515,
  "ml.g5.4xlarge": 2.03,
  "ml.g5.8xlarge": 3.06,
  "ml.g5.12xlarge": 7.09,
  "ml.g5.16xlarge": 5.12,
  "ml.g5.24xlarge": 10.18,
  "ml.g5.48xlarge": 20.36,
  "ml.g6.xlarge": 1.127,
  "ml.g6.2xlarge": 1.222,
  "ml.g6.4xlarge": 1.654,
  "ml.g6.8xlarge": 2.518,
  "ml.g6.12xlarge": 5.752,
  "ml.g6.24xlarge": 8.344,
  "ml.g6.48xlarge": 16.688,
  "ml.g6e.xlarge": 2.6054,
  "ml.g6e.2xlarge": 2.8026,
  "ml.g6e.4xlarge": 3.7553,
  "ml.g6e.8xlarge": 5.6607,
  "ml.g6e.12xlarge": 13.1158,
  "ml.g6e.24xlarge": 18.83,
  "ml.g6e.48xlarge": 37.66,
  "ml.g7e.2xlarge": 4.2039,
  "ml.g7e.4xlarge": 4.9977,
  "ml.g7e.8xlarge": 6.5853,
  "ml.g7e.12xlarge": 10.3576,
  "ml.g7e.24xlarge": 20.7152,
  "ml.g7e.48xlarge": 41.4304,
  "ml.p4d.24xlarge": 25.251286,
  "ml.p5.48xlarge": 63.296,
};

/** What an instance type cost when the catalog was made; undefined for one that it lacks. */
export function catalogPrice(instance: string): CatalogPrice | undefined {
  const price = perHour[instance];
  return price === undefined ? undefined : { perHour: price, region, date };
}
