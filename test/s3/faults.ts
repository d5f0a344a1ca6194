import { createServer, request } from "node:http";
import type { IncomingMessage, RequestListener, Server, ServerResponse } from "node:http";
import { createServer as createSecureServer, request as secureRequest } from "node:https";
import type { AddressInfo } from "node:net";
import type { S3Server } from "./server.ts";

/** A request as the proxy sees it. */
export interface Seen {
  readonly operation: string;
  readonly key: string;
  readonly part: number | undefined;
  /** How many of this operation there were, this one included. */
  readonly nth: number;
  readonly bytes: number;
  readonly headers: IncomingMessage["headers"];
  /** What became of it: the status, or what was done to it. */
  outcome: number | string;
}

/** How many bytes a request asks for; 0 where it names no range. */
export function rangeBytes({ headers }: Seen): number {
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? "") ?? [];
  return first === undefined ? 0 : Number(last) - Number(first) + 1;
}

/** What happens to a request instead of what should. */
export type Fault =
  | {
      readonly answer: number;
      readonly code?: string;
      readonly body?: string;
      readonly headers?: Record<string, string>;
    }
  /** The connection ends before the server hears of it, or after the server has done it. */
  | { readonly hangUp: "before" | "after" }
  /** The body is cut after so many bytes; in chunks, that it is does not show in its length. */
  | { readonly cutAt: number; readonly chunked?: true; readonly flip?: "answer" }
  /** One byte of the body that is sent, or that comes back, is another. */
  | { readonly flip: "request" | "answer" }
  | { readonly call: () => void }
  /** Nothing at first; then what it comes to. */
  | { readonly later: Promise<Fault | undefined> };

export interface FaultProxy {
  readonly url: string;
  readonly seen: Seen[];
  /** Decides what happens to a request; undefined lets it pass. */
  fault: (seen: Seen) => Fault | undefined;
  count(operation: string): number;
  stop(): void;
}

/** S3's operation out of a request. */
function operationOf(method: string, url: URL): string {
  const has = (name: string) => url.searchParams.has(name);
  const whole = url.pathname.split("/").length <= 2 || url.pathname.endsWith("/");
  if (method === "POST")
    return has("uploads") ? "CreateMultipartUpload" : "CompleteMultipartUpload";
  if (method === "DELETE") return has("uploadId") ? "AbortMultipartUpload" : "DeleteObject";
  if (method === "PUT") return has("partNumber") ? "UploadPart" : "PutObject";
  if (method === "HEAD") return "HeadObject";
  if (has("uploads")) return "ListMultipartUploads";
  if (has("uploadId")) return "ListParts";
  return whole ? "ListObjects" : "GetObject";
}

/** Stands before a server and does to its requests what networks and S3 do on bad days. */
export async function startFaults(server: S3Server): Promise<FaultProxy> {
  const seen: Seen[] = [];
  const counts = new Map<string, number>();
  const listen: RequestListener = (incoming, outgoing) => {
    const chunks: Buffer[] = [];
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
    incoming.on("error", () => {});
    incoming.on("end", () => {
      const url = new URL(incoming.url!, "http://x");
      const operation = operationOf(incoming.method!, url);
      const nth = (counts.get(operation) ?? 0) + 1;
      counts.set(operation, nth);
      const part = url.searchParams.get("partNumber");
      const body = Buffer.concat(chunks);
      const one: Seen = {
        operation,
        key: decodeURIComponent(url.pathname.split("/").slice(2).join("/")),
        part: part === null ? undefined : Number(part),
        nth,
        bytes: body.length,
        headers: incoming.headers,
        outcome: "passed",
      };
      seen.push(one);
      act(proxy.fault(one), one, incoming, body, outgoing);
    });
  };

  const act = (
    fault: Fault | undefined,
    one: Seen,
    incoming: IncomingMessage,
    body: Buffer,
    outgoing: ServerResponse,
  ) => {
    if (fault !== undefined && "later" in fault) {
      return void fault.later.then((then) => act(then, one, incoming, body, outgoing));
    }
    if (fault !== undefined && "answer" in fault) {
      one.outcome = fault.answer;
      const text =
        fault.body ??
        `<?xml version="1.0"?><Error><Code>${fault.code}</Code><Message>made by the test</Message></Error>`;
      outgoing.writeHead(fault.answer, { "content-type": "application/xml", ...fault.headers });
      return outgoing.end(incoming.method === "HEAD" ? undefined : text);
    }
    if (fault !== undefined && "hangUp" in fault && fault.hangUp === "before") {
      one.outcome = "hung up";
      return incoming.socket.destroy();
    }
    if (fault !== undefined && "call" in fault) fault.call();
    if (fault !== undefined && "flip" in fault && fault.flip === "request") flip(body);
    const ask = server.tls === undefined ? request : secureRequest;
    const forward = ask(
      {
        host: "127.0.0.1",
        port: server.port,
        method: incoming.method,
        path: incoming.url,
        headers: incoming.headers,
        ...(server.tls === undefined ? {} : { ca: server.tls.certificate }),
      },
      (answer) => {
        const parts: Buffer[] = [];
        answer.on("data", (chunk: Buffer) => parts.push(chunk));
        answer.on("end", () => {
          const content = Buffer.concat(parts);
          if (fault !== undefined && "hangUp" in fault) {
            one.outcome = "hung up";
            return incoming.socket.destroy();
          }
          one.outcome = answer.statusCode!;
          const headers = { ...answer.headers };
          delete headers["transfer-encoding"];
          if (incoming.method !== "HEAD") headers["content-length"] = `${content.length}`;
          if (fault !== undefined && "cutAt" in fault && fault.chunked === true) {
            delete headers["content-length"];
          }
          outgoing.writeHead(answer.statusCode!, headers);
          if (fault !== undefined && "flip" in fault && fault.flip === "answer") flip(content);
          if (fault !== undefined && "cutAt" in fault) {
            one.outcome = "cut";
            return outgoing.write(content.subarray(0, fault.cutAt), () =>
              incoming.socket.destroy(),
            );
          }
          return outgoing.end(content);
        });
      },
    );
    forward.on("error", () => incoming.socket.destroy());
    return forward.end(body);
  };

  const secure = server.tls;
  const front: Server =
    secure === undefined
      ? createServer(listen)
      : createSecureServer({ cert: secure.certificate, key: secure.key }, listen);
  await new Promise<void>((resolve) => front.listen(0, "127.0.0.1", resolve));
  const { port } = front.address() as AddressInfo;
  const proxy: FaultProxy = {
    url: `${secure === undefined ? "http" : "https"}://127.0.0.1:${port}`,
    seen,
    fault: () => undefined,
    count: (operation) => counts.get(operation) ?? 0,
    stop: () => {
      front.closeAllConnections();
      front.close();
    },
  };
  return proxy;
}

function flip(bytes: Buffer): void {
  const middle = bytes.length >> 1;
  if (bytes.length > 0) bytes[middle] = bytes[middle]! ^ 1;
}
