import type { DryRun } from "../../api/dry-run.ts";
import { formatBytes, printable } from "../../base/format.ts";
import type { PlannedRequest } from "../../targets/target.ts";
import type { Style } from "../terminal.ts";
import { decisionLines } from "./lines.ts";
import { blocks } from "./outcome.ts";
import { offerText } from "./words.ts";

/** What a run would be: its settings, its price, and every request that would start it. */
export function dryRunLines(
  { plan, offer, requests }: DryRun,
  options: { readonly columns: number; readonly style: Style },
): string[] {
  const { style } = options;
  return blocks(
    plan.decisions.flatMap((decision) => decisionLines(decision, options)),
    offer === null ? [] : [offerText(offer)],
    requests.length === 0
      ? ["no request would be sent: the training is a process of this machine"]
      : [
          style.bold("requests that would be sent, of files where S3 lacks them:"),
          ...requests.flatMap(requestLines),
        ],
    ["nothing was sent, and nothing started"],
  );
}

function requestLines({ service, operation, input }: PlannedRequest): string[] {
  const { Bucket, Key, ContentLength } = input;
  if (typeof Key === "string") {
    const size = typeof ContentLength === "number" ? `  ${formatBytes(ContentLength)}` : "";
    return [`  ${service} ${operation}  s3://${printable(`${String(Bucket)}/${Key}`)}${size}`];
  }
  const body = JSON.stringify(input, null, 2).split("\n");
  return [`  ${service} ${operation}`, ...body.map((line) => `  ${printable(line)}`)];
}
