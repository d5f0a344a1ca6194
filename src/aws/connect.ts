import { request } from "node:http";
import { request as secureRequest } from "node:https";
import type { RequestOptions } from "node:https";
import { connect as connectPlain, isIP } from "node:net";
import type { Socket } from "node:net";
import tls, { connect as connectSecure, createSecureContext } from "node:tls";
import type { ConnectionOptions as TlsOptions, SecureContext } from "node:tls";

/** How hosts are reached. Plain data: a worker thread gets a copy. */
export interface Network {
  readonly proxies: {
    readonly https?: string | undefined;
    readonly http?: string | undefined;
    /** NO_PROXY: host names, suffixes, addresses, separated by commas. */
    readonly none?: string | undefined;
  };
  /** PEM texts. */
  readonly authorities: {
    /** Instead of those that Node trusts. */
    readonly only?: readonly string[] | undefined;
    readonly besides: readonly string[];
  };
}

export interface Peer {
  readonly host: string;
  readonly port: number;
  readonly secure: boolean;
}

/** The proxy that stands before a host, if one does. */
export function proxyFor({ host, port, secure }: Peer, { proxies }: Network): URL | undefined {
  const proxy = secure ? proxies.https : proxies.http;
  if (proxy === undefined) return undefined;
  const name = host.toLowerCase();
  for (const item of (proxies.none ?? "").toLowerCase().split(/[\s,]+/)) {
    if (item === "") continue;
    const [, pattern = item, only] = /^(.*?)(?::(\d+))?$/.exec(item) ?? [];
    if (only !== undefined && Number(only) !== port) continue;
    const suffix = pattern.replace(/^\*?\.?/, ".");
    if (pattern === "*" || name === pattern || name.endsWith(suffix) || `.${name}` === suffix) {
      return undefined;
    }
  }
  return new URL(proxy.includes("://") ? proxy : `http://${proxy}`);
}

const contexts = new WeakMap<Network, SecureContext>();

/** Parsing the authorities takes milliseconds, so each thread does it once. */
function contextOf(network: Network): SecureContext | undefined {
  const { only, besides } = network.authorities;
  // Without a list of ours Node shares its own, already parsed.
  if (only === undefined && besides.length === 0) return undefined;
  let context = contexts.get(network);
  if (context === undefined) {
    context = createSecureContext({ ca: [...(only ?? tls.rootCertificates), ...besides] });
    contexts.set(network, context);
  }
  return context;
}

export interface Taker {
  /** Where the next bytes are to be put; not empty. */
  space(): Buffer;
  /** So many were put there. */
  took(bytes: number): void;
}

export interface ConnectOptions {
  /** Who takes what arrives, in memory of his own; without it the socket is an ordinary stream. */
  readonly read?: Taker;
  readonly timeoutMs?: number;
  /** A TLS session to go on with, which saves the server a signature. */
  readonly session?: Buffer | undefined;
}

/** Opens a connection, through the proxy where one stands before the host. */
export async function connect(
  peer: Peer,
  network: Network,
  options: ConnectOptions = {},
): Promise<Socket> {
  const { read, timeoutMs = 10_000, session } = options;
  const proxy = proxyFor(peer, network);
  const through = proxy === undefined ? undefined : await tunnel(proxy, peer, network, timeoutMs);
  const secureContext = peer.secure ? contextOf(network) : undefined;
  const callback = (size: number) => {
    read!.took(size);
    return true;
  };
  // Node does not read into a buffer of ours where one socket runs over another.
  const own = read !== undefined && through === undefined;
  const reading = own ? { onread: { buffer: () => read.space(), callback } } : {};
  return new Promise((resolve, reject) => {
    const { host, port } = peer;
    const socket: Socket = peer.secure
      ? connectSecure({
          host,
          port,
          ...(through === undefined ? {} : { socket: through }),
          ...(isIP(host) === 0 ? { servername: host } : {}),
          ...(secureContext === undefined ? {} : { secureContext }),
          ...(session === undefined ? {} : { session }),
          // Its type does not know what it hands on to the socket.
          ...(reading as TlsOptions),
        })
      : (through ?? connectPlain({ host, port, ...reading }));
    const settle = (error?: Error) => {
      clearTimeout(timer);
      socket.off("error", settle);
      if (error === undefined) {
        if (read !== undefined && !own)
          socket.on("data", (chunk: Buffer) => copyTo(read, chunk, socket));
        return resolve(socket.setNoDelay(true));
      }
      socket.destroy();
      reject(error);
    };
    const timer = setTimeout(() => {
      settle(Object.assign(new Error(`no answer from ${host}:${port}`), { code: "ETIMEDOUT" }));
    }, timeoutMs);
    socket.once("error", settle);
    if (through !== undefined && !peer.secure) {
      settle();
    } else {
      socket.once(peer.secure ? "secureConnect" : "connect", () => settle());
    }
  });
}

function copyTo(taker: Taker, chunk: Buffer, socket: Socket): void {
  // Who has given up makes no more space.
  for (let at = 0; at < chunk.length && !socket.destroyed;) {
    const bytes = chunk.copy(taker.space(), 0, at);
    taker.took(bytes);
    at += bytes;
  }
}

/** Asks a proxy for a connection to somewhere else. */
function tunnel(
  proxy: URL,
  { host, port }: Peer,
  network: Network,
  timeout: number,
): Promise<Socket> {
  const target = `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
  const secureContext = contextOf(network);
  const user = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`;
  return new Promise((resolve, reject) => {
    const options: RequestOptions = {
      host: proxy.hostname.replace(/^\[|\]$/g, ""),
      port: proxy.port === "" ? (proxy.protocol === "https:" ? 443 : 80) : Number(proxy.port),
      method: "CONNECT",
      path: target,
      agent: false,
      timeout,
      headers: {
        host: target,
        ...(user === ":"
          ? {}
          : { "proxy-authorization": `Basic ${Buffer.from(user).toString("base64")}` }),
      },
      ...(secureContext === undefined ? {} : { secureContext }),
    };
    (proxy.protocol === "https:" ? secureRequest : request)(options)
      .once("connect", ({ statusCode }, socket) => {
        if (statusCode === 200) return resolve(socket as Socket);
        socket.destroy();
        const why = `the proxy ${proxy.host} answered ${statusCode} to CONNECT ${target}`;
        reject(Object.assign(new Error(why), { code: "EPROXY" }));
      })
      .once("timeout", function (this: { destroy(error: Error): void }) {
        const why = `no answer from the proxy ${proxy.host}`;
        this.destroy(Object.assign(new Error(why), { code: "ETIMEDOUT" }));
      })
      .once("error", reject)
      .end();
  });
}
