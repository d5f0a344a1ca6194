import { createServer, request } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** One request on its way to the cloud. */
export interface Passing {
  /** SageMaker's and other services' name of it, else "PUT", "GET" ... */
  readonly operation: string;
  /** The bucket and key, or "" for services without paths. */
  readonly path: string;
  readonly bytes: number;
}

/** What happens at a request: nothing, or something before it reaches the cloud or after it was answered. */
export type Intervention =
  | "pass"
  /** The cloud never hears of it. */
  | { readonly before: () => void }
  /** The cloud has done it, and its answer does not arrive. */
  | { readonly after: () => void }
  /** Its answer has arrived. */
  | { readonly answered: () => void };

export interface Proxy {
  readonly url: string;
  /** Every request that reached the cloud, in order. */
  readonly passed: Passing[];
  intervene: (passing: Passing) => Intervention;
  stop(): void;
}

/** Stands between a command and its cloud. Signatures hold: the client signs this address. */
export async function startProxy(endpoint: string): Promise<Proxy> {
  const { hostname, port } = new URL(endpoint);
  const passed: Passing[] = [];
  const listen = (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const chunks: Buffer[] = [];
    incoming.on("error", () => {});
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
    incoming.on("end", () => {
      const { method, url, headers } = incoming;
      const body = Buffer.concat(chunks);
      const target = headers["x-amz-target"];
      const operation =
        typeof target === "string" ? target.slice(target.indexOf(".") + 1) : method!;
      const path = decodeURIComponent(url!.split("?")[0]!).slice(1);
      const one: Passing = { operation, path, bytes: body.length };
      const what = proxy.intervene(one);
      if (what !== "pass" && "before" in what) {
        what.before();
        return incoming.socket.destroy();
      }
      passed.push(one);
      const forward = request({ host: hostname, port, method, path: url, headers }, (answer) => {
        if (what !== "pass" && "after" in what) {
          answer.resume().on("end", () => {
            what.after();
            incoming.socket.destroy();
          });
          return;
        }
        outgoing.writeHead(answer.statusCode!, answer.headers);
        answer.pipe(outgoing);
        if (what !== "pass") outgoing.on("finish", what.answered);
      });
      forward.on("error", () => incoming.socket.destroy());
      return forward.end(body);
    });
  };
  const server = createServer(listen);
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const proxy: Proxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    passed,
    intervene: () => "pass",
    stop() {
      server.closeAllConnections();
      server.close();
    },
  };
  return proxy;
}
