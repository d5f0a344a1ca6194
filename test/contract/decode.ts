import { modelOf } from "./models.ts";
import type { Member, Model, Operation, Shape } from "./models.ts";
import { parseXml } from "./xml.ts";
import type { XmlNode } from "./xml.ts";

/** A request as record.cjs saw it on the wire. */
export interface Recorded {
  readonly method: string;
  readonly target: string;
  readonly secure: boolean;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly bytes: number;
  /** In base64; null where it was too long to keep. */
  readonly body: string | null;
}

export interface Decoded {
  readonly service: string;
  readonly operation: string;
  readonly model: Model;
  readonly shape: Shape | undefined;
  readonly input: Record<string, unknown>;
  /** What the request holds beyond the operation's input. */
  readonly problems: readonly string[];
}

/** Finds the operation that a request means, and its input, by the service's own model. */
export function decode(request: Recorded): Decoded {
  const service = serviceOf(request);
  const model = modelOf(service);
  const { protocol } = model.metadata;
  const found =
    protocol === "json"
      ? decodeJson(request, model)
      : protocol === "query" || protocol === "ec2"
        ? decodeQuery(request, model)
        : decodeRest(request, model);
  return { service, model, ...found };
}

type Found = Omit<Decoded, "service" | "model">;

function serviceOf({ headers }: Recorded): string {
  const scope = /Credential=[^/]+\/\d{8}\/[^/]+\/([^/]+)\/aws4_request/.exec(
    headers["authorization"] ?? "",
  );
  // Unsigned ones (a web identity) name it among the agents: "api/sts#3.1"
  const agent = /\bapi\/([\w-]+)#/.exec(headers["user-agent"] ?? "");
  const service = scope?.[1] ?? agent?.[1];
  if (service === undefined) throw new Error("a request that names no service");
  return service;
}

const bodyText = ({ body }: Recorded) => Buffer.from(body ?? "", "base64").toString("utf8");

function operationOf(model: Model, name: string | undefined): Operation {
  const operation = name === undefined ? undefined : model.operations[name];
  if (operation === undefined) throw new Error(`there is no operation ${name}`);
  return operation;
}

function inputShape(model: Model, operation: Operation): Shape | undefined {
  return operation.input === undefined ? undefined : model.shapes[operation.input.shape];
}

function decodeJson(request: Recorded, model: Model): Found {
  const { targetPrefix, jsonVersion } = model.metadata;
  const [prefix, name] = (request.headers["x-amz-target"] ?? "").split(".");
  const problems: string[] = [];
  if (prefix !== targetPrefix) problems.push(`X-Amz-Target must start with ${targetPrefix}`);
  const type = `application/x-amz-json-${jsonVersion}`;
  if (request.headers["content-type"] !== type) problems.push(`Content-Type must be ${type}`);
  const operation = operationOf(model, name);
  const input = JSON.parse(bodyText(request) || "{}") as Record<string, unknown>;
  return { operation: operation.name, shape: inputShape(model, operation), input, problems };
}

function decodeQuery(request: Recorded, model: Model): Found {
  const pairs = new Map(new URLSearchParams(bodyText(request)));
  const operation = operationOf(model, pairs.get("Action"));
  const problems: string[] = [];
  const { apiVersion, protocol } = model.metadata;
  if (pairs.get("Version") !== apiVersion) problems.push(`Version must be ${apiVersion}`);
  pairs.delete("Action");
  pairs.delete("Version");
  const ec2 = protocol === "ec2";
  const shape = inputShape(model, operation);

  const read = (member: Member, path: string): unknown => {
    const own = model.shapes[member.shape]!;
    if (own.type === "structure") return readStructure(own, `${path}.`);
    if (own.type === "list" || own.type === "map") {
      const flat = ec2 || own.flattened === true;
      const listName = own.member?.locationName ?? "member";
      const at = flat ? path : `${path}.${own.type === "map" ? "entry" : listName}`;
      const items: unknown[] = [];
      const entries: Record<string, unknown> = {};
      for (let index = 1; ; index++) {
        if (own.type === "list") {
          const value = read(own.member!, `${at}.${index}`);
          if (value === undefined) return items.length > 0 ? items : undefined;
          items.push(value);
        } else {
          const key = read(own.key!, `${at}.${index}.${own.key!.locationName ?? "key"}`);
          if (key === undefined) return index > 1 ? entries : undefined;
          const value = `${at}.${index}.${own.value!.locationName ?? "value"}`;
          entries[key as string] = read(own.value!, value);
        }
      }
    }
    const text = pairs.get(path);
    pairs.delete(path);
    return text === undefined ? undefined : scalar(own, text);
  };
  const readStructure = (own: Shape, prefix: string) => {
    const value: Record<string, unknown> = {};
    for (const [name, member] of Object.entries(own.members ?? {})) {
      const located = member.locationName ?? name;
      const wire = ec2
        ? (member.queryName ?? located[0]!.toUpperCase() + located.slice(1))
        : located;
      const found = read(member, `${prefix}${wire}`);
      if (found !== undefined) value[name] = found;
    }
    return Object.keys(value).length > 0 || prefix === "" ? value : undefined;
  };
  const input = shape === undefined ? {} : readStructure(shape, "")!;
  problems.push(...[...pairs.keys()].map((name) => `unknown parameter ${name}`));
  return { operation: operation.name, shape, input, problems };
}

/** What goes with every request and belongs to no operation. */
const transport =
  /^(?:host|user-agent|connection|accept|accept-encoding|content-length|content-type|content-md5|content-encoding|transfer-encoding|expect|authorization|amz-sdk-.+|x-amz-(?:date|content-sha256|security-token|user-agent|decoded-content-length|trailer|sdk-checksum-algorithm)|x-amzn?-trace-id)$/;

function decodeRest(request: Recorded, model: Model): Found {
  const mark = request.target.indexOf("?");
  const path = mark < 0 ? request.target : request.target.slice(0, mark);
  const query = new URLSearchParams(mark < 0 ? "" : request.target.slice(mark + 1));
  const virtual = /^(.+?)\.s3[.-]/.exec(request.headers["host"] ?? "")?.[1];
  const whole = virtual === undefined ? path : `/${virtual}${path === "/" ? "" : path}`;
  const fits = Object.values(model.operations)
    .map((operation) => fit(operation, request, whole, query, model))
    .filter((match) => match !== undefined)
    .sort((a, b) => b.weight - a.weight);
  const best = fits[0];
  if (best === undefined) throw new Error(`no operation is ${request.method} ${request.target}`);
  const { operation, shape, input, used } = best;
  const problems: string[] = [];
  const named = query.get("x-id");
  if (named !== null && named !== operation) problems.push(`x-id says ${named}`);
  for (const name of new Set(query.keys())) {
    if (name !== "x-id" && !used.has(`?${name}`)) problems.push(`unknown query parameter ${name}`);
  }
  for (const name of Object.keys(request.headers)) {
    if (!used.has(name) && !transport.test(name)) problems.push(`unknown header ${name}`);
  }
  readPayload(request, model, shape, input, problems);
  return { operation, shape, input, problems };
}

interface Fit {
  readonly operation: string;
  readonly shape: Shape | undefined;
  readonly input: Record<string, unknown>;
  /** Query parameters ("?name") and headers that the operation knows. */
  readonly used: ReadonlySet<string>;
  readonly weight: number;
}

function fit(
  operation: Operation,
  request: Recorded,
  path: string,
  query: URLSearchParams,
  model: Model,
): Fit | undefined {
  if (operation.http.method !== request.method) return undefined;
  const [template = "", fixed = ""] = operation.http.requestUri.split("?");
  const names: string[] = [];
  const pattern = template.replaceAll(/\{(\w+)(\+?)\}/g, (_, name: string, greedy: string) => {
    names.push(name);
    return greedy ? "(.+)" : "([^/]+)";
  });
  const match = new RegExp(`^${pattern}/?$`).exec(path);
  if (match === null) return undefined;
  const used = new Set<string>();
  let weight = 0;
  for (const [name, value] of new URLSearchParams(fixed)) {
    if (!query.has(name) || (value !== "" && query.get(name) !== value)) return undefined;
    used.add(`?${name}`);
    weight += 10;
  }
  const shape = inputShape(model, operation);
  const input: Record<string, unknown> = {};
  for (const [name, member] of Object.entries(shape?.members ?? {})) {
    const own = model.shapes[member.shape]!;
    const key = member.locationName ?? name;
    let text: string | null | undefined;
    if (member.location === "uri") text = decodeURIComponent(match[names.indexOf(key) + 1] ?? "");
    else if (member.location === "querystring") {
      text = query.get(key);
      if (text !== null) used.add(`?${key}`);
    } else if (member.location === "header") {
      text = request.headers[key.toLowerCase()];
      if (text !== undefined) used.add(key.toLowerCase());
    } else if (member.location === "headers") {
      for (const [header, value] of Object.entries(request.headers)) {
        if (!header.startsWith(key.toLowerCase())) continue;
        used.add(header);
        input[name] = { ...(input[name] as object), [header.slice(key.length)]: value };
      }
    }
    if (text !== undefined && text !== null) {
      input[name] =
        own.type === "list" ? text.split(",").map((each) => each.trim()) : scalar(own, text);
      weight += member.location === "uri" ? 0 : 1;
    } else if (shape?.required?.includes(name) && member.location !== undefined) {
      // A required part of the address that is not there means another operation.
      if (member.location !== "headers") return undefined;
    }
  }
  // With nothing else to go by, the operation whose address is longer is meant: a key, not a bucket.
  return { operation: operation.name, shape, input, used, weight: weight + names.length };
}

function readPayload(
  request: Recorded,
  model: Model,
  shape: Shape | undefined,
  input: Record<string, unknown>,
  problems: string[],
): void {
  const text = () => bodyText(request);
  if (shape?.payload === undefined) {
    const inBody = Object.values(shape?.members ?? {}).some(
      ({ location }) => location === undefined,
    );
    if (!inBody && request.bytes > 0) problems.push("a body that the operation does not have");
    if (inBody && request.bytes > 0) Object.assign(input, JSON.parse(text()) as object);
    return;
  }
  const member = shape.members![shape.payload]!;
  const own = model.shapes[member.shape]!;
  if (own.type === "blob" || own.type === "string") {
    input[shape.payload] = "";
    return;
  }
  if (request.bytes === 0) return;
  const root = parseXml(text());
  const wanted = member.locationName ?? member.shape;
  if (root.name !== wanted) problems.push(`the body is <${root.name}>, not <${wanted}>`);
  input[shape.payload] = fromXml(model, own, root, problems);
}

function fromXml(model: Model, shape: Shape, node: XmlNode, problems: string[]): unknown {
  if (shape.type !== "structure") return scalar(shape, node.text);
  const value: Record<string, unknown> = {};
  const known = new Set<string>();
  for (const [name, member] of Object.entries(shape.members ?? {})) {
    const wire = member.locationName ?? name;
    known.add(wire);
    const found = node.children.filter((child) => child.name === wire);
    if (found.length === 0) continue;
    const own = model.shapes[member.shape]!;
    if (own.type !== "list") {
      value[name] = fromXml(model, own, found[0]!, problems);
      continue;
    }
    const item = model.shapes[own.member!.shape]!;
    const flat = own.flattened === true || member.flattened === true;
    const items = flat ? found : found[0]!.children;
    value[name] = items.map((child) => fromXml(model, item, child, problems));
  }
  for (const child of node.children) {
    if (!known.has(child.name)) problems.push(`unknown element <${child.name}> in <${node.name}>`);
  }
  return value;
}

/** A value that travelled as text; what does not read as its type stays text, which the check tells. */
function scalar(shape: Shape, text: string): unknown {
  switch (shape.type) {
    case "integer":
    case "long":
      return /^-?\d+$/.test(text) ? Number(text) : text;
    case "float":
    case "double":
      return text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
    case "boolean":
      return text === "true" ? true : text === "false" ? false : text;
    default:
      return text;
  }
}
