import { rules as presetRules } from "@secretlint/secretlint-rule-preset-recommend";
import { secretSigns } from "../hide-secrets.ts";

// The rules are secretlint's; run one by one, without its core, which makes promises, events and
// profiles for every text and lets a comment inside the text switch rules off.

interface Source {
  readonly content: string;
  readonly filePath: string;
  readonly ext: string;
  readonly contentType: "text";
}
interface Scanner {
  readonly meta: { readonly id: string; readonly type: string };
  create(
    context: unknown,
    options: Readonly<Record<string, unknown>>,
  ): { file?(source: Source): void | Promise<void> };
}

interface Report {
  readonly message: { readonly messageId: string };
  readonly range: readonly [number, number];
}

let reports: Report[] = [];
const context = {
  sharedOptions: {},
  createTranslator: () => (messageId: string) => ({ messageId, message: messageId }),
  report: (report: Report) => void reports.push(report),
  ignore() {},
};
const scanners = (presetRules as unknown as readonly Scanner[])
  .filter(({ meta }) => meta.type === "scanner" && !meta.id.includes("filter-comments"))
  .map((rule) => ({
    kind: rule.meta.id.replace(/^.*secretlint-rule-/, ""),
    // Account ids are no secrets; they are dropped below.
    run: rule.create(context, { enableIDScanRule: rule.meta.id.endsWith("-aws") }),
  }));

/** What stands for a secret in documentation, and is none. */
const placeholder =
  /example|EXAMPLE|x{6}|X{6}|\*{4}|\.{3}|0{10}|123456789|abcdef0|<[^>]+>|\$\{|your[-_ ]?|changeme|placeholder|redacted|dummy/i;
const plainCredentials =
  /:\/\/[^:/@\s]*:(?:password|pass|passwd|pwd|secret|postgres|root|admin|user|test|mypassword|token|db_?pass(?:word)?)@|@(?:localhost|127\.0\.0\.1|host|hostname|db|example\.\w+)\b/i;

/** The kinds of secrets in a text ("aws", "github" ...), never their values. */
export function findSecrets(text: string): string[] {
  return [...new Set(locateSecrets(text).map(({ kind }) => kind))];
}

export interface SecretPlace {
  readonly kind: string;
  /** In the text, as UTF-16 code units. */
  readonly start: number;
  readonly end: number;
}

/** Where secrets stand in a text, in its order; rules of two kinds may find the same. */
export function locateSecrets(text: string): SecretPlace[] {
  if (!secretSigns.test(text)) return [];
  reports = [];
  const places: SecretPlace[] = [];
  const source: Source = { content: text, filePath: "row.txt", ext: ".txt", contentType: "text" };
  for (const { kind, run } of scanners) {
    const before = reports.length;
    void run.file?.(source);
    for (const { message, range } of reports.slice(before)) {
      if (message.messageId === "AWSAccountID") continue;
      if (isPlaceholder(text, range)) continue;
      places.push({ kind, start: range[0], end: range[1] });
    }
  }
  return places.sort((a, b) => a.start - b.start);
}

function isPlaceholder(text: string, [start, end]: readonly [number, number]): boolean {
  const value = text.slice(start, end);
  if (value.startsWith("-----BEGIN")) return false;
  return placeholder.test(value) || plainCredentials.test(text.slice(start, end + 40));
}
