/** Names that a row has in one of the forms that are read: an object with one of them is a row. */
export const rowFields: ReadonlySet<string> = new Set([
  "messages",
  "conversations",
  "conversation",
  "instruction",
  "prompt",
  "text",
  "question",
  "completion",
  "chosen",
  "rejected",
  "preferred_output",
  "non_preferred_output",
]);
