import type { Price } from "../run/cost.ts";

/** An instance type as it was read off AWS's lists, and may have changed since. */
export interface CatalogEntry {
  readonly accelerators: number;
  readonly price: Price;
}

const region = "us-east-1";
const date = "2026-08";

/** USD an hour for SageMaker training and GPUs, from AWS's lists. Other regions cost more, by up to a third. */
const types: Readonly<Record<string, readonly [perHour: number, gpus: number]>> = {
  "ml.g4dn.xlarge": [0.7364, 1],
  "ml.g4dn.2xlarge": [0.94, 1],
  "ml.g4dn.12xlarge": [4.89, 4],
  "ml.g5.xlarge": [1.408, 1],
  "ml.g5.2xlarge": [1.515, 1],
  "ml.g5.4xlarge": [2.03, 1],
  "ml.g5.8xlarge": [3.06, 1],
  "ml.g5.12xlarge": [7.09, 4],
  "ml.g5.16xlarge": [5.12, 1],
  "ml.g5.24xlarge": [10.18, 4],
  "ml.g5.48xlarge": [20.36, 8],
  "ml.g6.xlarge": [1.127, 1],
  "ml.g6.2xlarge": [1.222, 1],
  "ml.g6.4xlarge": [1.654, 1],
  "ml.g6.8xlarge": [2.518, 1],
  "ml.g6.12xlarge": [5.752, 4],
  "ml.g6.24xlarge": [8.344, 4],
  "ml.g6.48xlarge": [16.688, 8],
  "ml.g6e.xlarge": [2.6054, 1],
  "ml.g6e.2xlarge": [2.8026, 1],
  "ml.g6e.4xlarge": [3.7553, 1],
  "ml.g6e.8xlarge": [5.6607, 1],
  "ml.g6e.12xlarge": [13.1158, 4],
  "ml.g6e.24xlarge": [18.83, 4],
  "ml.g6e.48xlarge": [37.66, 8],
  "ml.g7e.2xlarge": [4.2039, 1],
  "ml.g7e.4xlarge": [4.9977, 1],
  "ml.g7e.8xlarge": [6.5853, 1],
  "ml.g7e.12xlarge": [10.3576, 2],
  "ml.g7e.24xlarge": [20.7152, 4],
  "ml.g7e.48xlarge": [41.4304, 8],
  "ml.p4d.24xlarge": [25.251286, 8],
  "ml.p5.48xlarge": [63.296, 8],
};

/** What an instance type was when the catalog was made; undefined for one that it lacks. */
export function catalogEntry(instance: string): CatalogEntry | undefined {
  const [perHour, accelerators] = types[instance] ?? [];
  if (perHour === undefined || accelerators === undefined) return undefined;
  return { accelerators, price: { perHour, region, source: "Moxi's catalog", date } };
}
