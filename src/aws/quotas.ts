import {
  ServiceQuotasClient,
  paginateListAWSDefaultServiceQuotas,
  paginateListServiceQuotas,
} from "@aws-sdk/client-service-quotas";
import type { ClientParts } from "./aws.ts";

export interface Quota {
  readonly name: string;
  readonly code: string;
  readonly value: number;
}

export type Quotas = Awaited<ReturnType<typeof openQuotas>>;

/** What an account may have of a service. */
export async function openQuotas(parts: ClientParts) {
  const client = new ServiceQuotasClient(await parts.config("service_quotas"));
  parts.onClose(() => client.destroy());
  return {
    /**
     * A service's quotas by their names. The applied list may leave out those that nobody ever
     * changed: for these AWS's default stands.
     */
    find: (service: string, names: readonly string[]): Promise<Map<string, Quota>> =>
      parts.attempt(`read the quotas of ${service}`, async () => {
        const found = new Map<string, Quota>();
        const wanted = new Map(names.map((name) => [name.toLowerCase(), name]));
        for (const paginate of [paginateListServiceQuotas, paginateListAWSDefaultServiceQuotas]) {
          const pages = paginate({ client }, { ServiceCode: service, MaxResults: 100 });
          for await (const { Quotas = [] } of pages) {
            for (const { QuotaName = "", QuotaCode = "", Value = 0 } of Quotas) {
              const name = wanted.get(QuotaName.toLowerCase());
              if (name === undefined || found.has(name)) continue;
              found.set(name, { name, code: QuotaCode, value: Value });
            }
            if (found.size === names.length) return found;
          }
        }
        return found;
      }),
  };
}
