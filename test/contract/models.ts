import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";

/** A shape of AWS's service models (botocore's service-2.json), as far as requests need it. */
export interface Shape {
  readonly type: string;
  readonly members?: Readonly<Record<string, Member>>;
  readonly member?: Member;
  readonly key?: Member;
  readonly value?: Member;
  readonly required?: readonly string[];
  readonly enum?: readonly string[];
  readonly min?: number;
  readonly max?: number;
  readonly pattern?: string;
  readonly union?: boolean;
  readonly flattened?: boolean;
  readonly payload?: string;
  readonly streaming?: boolean;
}

export interface Member {
  readonly shape: string;
  readonly location?: "uri" | "querystring" | "header" | "headers";
  readonly locationName?: string;
  readonly queryName?: string;
  readonly flattened?: boolean;
  readonly streaming?: boolean;
}

export interface Operation {
  readonly name: string;
  readonly http: { readonly method: string; readonly requestUri: string };
  readonly input?: { readonly shape: string };
}

export interface Model {
  readonly metadata: {
    readonly apiVersion: string;
    readonly protocol: string;
    readonly targetPrefix?: string;
    readonly jsonVersion?: string;
    readonly signingName?: string;
    readonly endpointPrefix: string;
  };
  readonly operations: Readonly<Record<string, Operation>>;
  readonly shapes: Readonly<Record<string, Shape>>;
}

const tools = join(import.meta.dirname, "../../build/python-tools/lib");
/** Where the name that requests are signed for is not the model's folder. */
const folders: Readonly<Record<string, string>> = {
  servicequotas: "service-quotas",
  monitoring: "cloudwatch",
};
const loaded = new Map<string, Model>();

/** The newest model of a service that botocore carries; the Python test tools bring it. */
export function modelOf(service: string): Model {
  const known = loaded.get(service);
  if (known !== undefined) return known;
  const data = join(dataFolder(), folders[service] ?? service);
  const version = readdirSync(data).sort().at(-1)!;
  const bytes = gunzipSync(readFileSync(join(data, version, "service-2.json.gz")));
  const model = JSON.parse(bytes.toString("utf8")) as Model;
  loaded.set(service, model);
  return model;
}

function dataFolder(): string {
  try {
    const python = readdirSync(tools).find((name) => name.startsWith("python3"))!;
    return join(tools, python, "site-packages/botocore/data");
  } catch (error) {
    throw new Error("AWS's service models are not here; run: node scripts/python.ts -V", {
      cause: error,
    });
  }
}
