import {
  GetAWSDefaultServiceQuotaCommand,
  GetServiceQuotaCommand,
  ServiceQuotasClient,
  paginateListAWSDefaultServiceQuotas,
  paginateListServiceQuotas,
} from "@aws-sdk/client-service-quotas";
import type { ServiceQuota } from "@aws-sdk/client-service-quotas";
import { mkdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { writeFileAtomic } from "../base/files.ts";
import { isRecord } from "../base/json.ts";
import type { ClientParts } from "./aws.ts";

export interface Quota {
  readonly name: string;
  readonly code: string;
  readonly value: number;
}

export type Quotas = Awaited<ReturnType<typeof openQuotas>>;

/**
 * What an account may have of a service. SageMaker has thousands of quotas, which are listed a hundred
 * at a time; a file remembers the codes of those that were asked for, the same in every account and
 * region, so that each is one request from then on. The file may be deleted at any time.
 */
export async function openQuotas(parts: ClientParts, codesFile: string) {
  const client = new ServiceQuotasClient(await parts.config("service_quotas"));
  parts.onClose(() => client.destroy());

  /** By its code; undefined where the code is not known any more, or may not be asked for. */
  const get = async (service: string, code: string): Promise<ServiceQuota | undefined> => {
    const input = { ServiceCode: service, QuotaCode: code };
    try {
      return (await client.send(new GetServiceQuotaCommand(input))).Quota;
    } catch (error) {
      // Nobody ever changed it: then AWS's default stands. Whatever else is wrong, the list will tell.
      if ((error as Error).name !== "NoSuchResourceException") return undefined;
      const asked = client.send(new GetAWSDefaultServiceQuotaCommand(input));
      return (await asked.catch(() => undefined))?.Quota;
    }
  };

  return {
    /**
     * A service's quotas by their names. The applied list may leave out those that nobody ever
     * changed: for these AWS's default stands.
     */
    find: (service: string, names: readonly string[]): Promise<Map<string, Quota>> =>
      parts.attempt(`read the quotas of ${service}`, async () => {
        const found = new Map<string, Quota>();
        const wanted = new Map(names.map((name) => [name.toLowerCase(), name]));
        const take = ({ QuotaName = "", QuotaCode = "", Value = 0 }: ServiceQuota) => {
          const name = wanted.get(QuotaName.toLowerCase());
          if (name === undefined || found.has(name)) return;
          found.set(name, { name, code: QuotaCode, value: Value });
        };
        const codes = await readCodes(codesFile);
        const known = names.flatMap((name) => codes[`${service} ${name}`] ?? []);
        // What it is called decides, not what its code once meant.
        for (const quota of await Promise.all(known.map((code) => get(service, code)))) {
          if (quota !== undefined) take(quota);
        }
        for (const paginate of [paginateListServiceQuotas, paginateListAWSDefaultServiceQuotas]) {
          if (found.size === wanted.size) break;
          const pages = paginate({ client }, { ServiceCode: service, MaxResults: 100 });
          for await (const { Quotas = [] } of pages) {
            Quotas.forEach(take);
            if (found.size === wanted.size) break;
          }
        }
        await keepCodes(codesFile, codes, service, [...found.values()]);
        return found;
      }),
  };
}

type Codes = Readonly<Record<string, string>>;

async function readCodes(file: string): Promise<Codes> {
  try {
    const value: unknown = JSON.parse(await readFile(file, "utf8"));
    if (!isRecord(value)) return {};
    const entries = Object.entries(value).filter(([, code]) => typeof code === "string");
    return Object.fromEntries(entries) as Codes;
  } catch {
    // Missing or damaged: it is only a memory.
    return {};
  }
}

async function keepCodes(file: string, codes: Codes, service: string, found: readonly Quota[]) {
  const news = found.map(({ name, code }) => [`${service} ${name}`, code] as const);
  if (news.every(([name, code]) => codes[name] === code)) return;
  try {
    await mkdir(dirname(file), { recursive: true });
    const text = JSON.stringify({ ...codes, ...Object.fromEntries(news) }, null, 1);
    await writeFileAtomic(file, `${text}\n`);
  } catch {
    // Nowhere to write: the next run lists them again.
  }
}
