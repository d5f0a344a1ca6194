// How answers of assistants begin that do not answer. Kept to phrases that people do not begin
// with: "I'm sorry to hear that" is kind, "I'm sorry, but I can't" refuses.
const opening =
  /^\W{0,3}(?:(?:i['\u2019]?m|i am)(?: very| so| really)? sorry,? but (?:as an ai|i (?:can['\u2019]?t|cannot|am not able to|am unable to|won['\u2019]t))|(?:sorry|i apologi[sz]e),? but (?:as an ai|i (?:can['\u2019]?t|cannot|am unable to|am not able to|won['\u2019]t))|i (?:can['\u2019]?t|cannot|am unable to|am not able to|won['\u2019]t be able to|must (?:respectfully )?decline to) (?:assist|help|comply|fulfil|fulfill|provide|answer|generate|create|support|write|discuss|engage|do that)\b|as an? (?:ai|artificial intelligence|large)\b(?: language)?(?: model)?|unfortunately,? (?:as an ai|i (?:can['\u2019]?t|cannot) (?:assist|help|comply)))/i;
const self = /\bas an? (?:ai|large) language model\b|\bas an ai(?: assistant)?,/i;

/** Who speaks of itself does so early. */
const earlyCharacters = 400;

/** Whether an answer refuses, or speaks of the model that it was taken from. */
export function isRefusal(answer: string): boolean {
  const early = answer.slice(0, earlyCharacters);
  if (opening.test(early)) return true;
  return (early.includes("language model") || early.includes(" AI")) && self.test(early);
}
