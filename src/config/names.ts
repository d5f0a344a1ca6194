// The names that one setting has in the three places where it can be written.

/** "split.evalFraction" -> "MOXI_SPLIT_EVAL_FRACTION" */
export function environmentName(key: string): string {
  return `MOXI_${words(key, "_").toUpperCase()}`;
}

/** "split.evalFraction" -> "--split-eval-fraction" */
export function flagName(key: string): string {
  return `--${words(key, "-")}`;
}

function words(key: string, separator: string): string {
  return key.replace(/[A-Z]/g, (letter) => `.${letter.toLowerCase()}`).replaceAll(".", separator);
}
