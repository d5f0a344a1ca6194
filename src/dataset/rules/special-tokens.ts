// Tokens by which chat templates tell turns apart, of the families that Moxi trains, and what most
// tokenizers call the ends of a text. <s> alone is HTML: only at the borders it is a token.
const token =
  /<\|[a-z][a-z0-9_ ]{0,40}\|>|<\uff5c[^<>\uff5c]{1,40}\uff5c>|\[\/?INST\]|<<\/?SYS>>|<\/?(?:start|end)_of_turn>|<(?:bos|eos|pad|unk)>|\[\/?(?:AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|SYSTEM_PROMPT)\]|^\s*<s>|<\/s>\s*$/;

/** The first special token that stands in a text, or undefined. */
export function findSpecialToken(text: string): string | undefined {
  return token.exec(text)?.[0].trim();
}
