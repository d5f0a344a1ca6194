import { Agent } from "node:http";
import { Agent as SecureAgent } from "node:https";
import type { Duplex } from "node:stream";
import { connect } from "./connect.ts";
import type { Network } from "./connect.ts";

interface To {
  readonly host?: string | null | undefined;
  readonly port?: number | string | null | undefined;
}
type Done = (error: Error | null, socket: Duplex) => void;

/**
 * Agents that keep their connections and open them like everything else here. The SDK takes them
 * only as instances: given options, it opens a new TLS connection for each large request.
 */
export function createAgents(network: Network): { http: Agent; https: SecureAgent } {
  const open = (secure: boolean, { host, port }: To, done: Done) => {
    const peer = { host: host ?? "localhost", port: Number(port ?? (secure ? 443 : 80)), secure };
    void connect(peer, network).then(
      // oxlint-disable-next-line promise/no-callback-in-promise -- what an agent asks for
      (socket) => done(null, socket),
      // oxlint-disable-next-line promise/no-callback-in-promise
      (error: unknown) => done(error as Error, undefined as unknown as Duplex),
    );
    return undefined;
  };
  const options = { keepAlive: true, maxSockets: 32 };
  const http = new Agent(options);
  const https = new SecureAgent(options);
  http.createConnection = (to, done) => open(false, to, done as Done);
  https.createConnection = (to, done) => open(true, to as To, done as Done);
  return { http, https };
}
