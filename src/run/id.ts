const adjectives =
  "able amber bold brave brisk calm clear cosy deep eager early fair fleet fresh gentle glad golden happy keen kind late light lively loyal lucky mellow merry mild neat noble open proud quick quiet rapid ready royal sharp shiny silent silver smart solid sunny swift tidy vivid warm wise".split(
    " ",
  );
const animals =
  "ant bear bee bison camel cat crane crow deer dingo dove eagle eel elk finch fox frog gecko goat goose hare hawk heron horse ibis koala lark lemur lion llama lynx mole moose mouse newt orca otter owl panda pony puma quail raven robin seal shark sloth snail swan tiger toad trout wolf wren yak zebra".split(
    " ",
  );
const suffixLetters = "23456789abcdefghjkmnpqrstvwxyz";

/** A run's id: sortable by time and easy to say, e.g. `moxi-20261123-141207-calm-otter-7f3k`. */
export function newRunId(now: Date, random: () => number = Math.random): string {
  const digits = now.toISOString().replace(/[-:T]/g, "");
  const pick = (list: ArrayLike<string>) => list[Math.floor(random() * list.length)]!;
  const suffix = Array.from({ length: 4 }, () => pick(suffixLetters)).join("");
  return `moxi-${digits.slice(0, 8)}-${digits.slice(8, 14)}-${pick(adjectives)}-${pick(animals)}-${suffix}`;
}

/** Ids may be given by the user (`--run-id`); they become folder and job names, so the alphabet is narrow. */
export const runIdPattern: RegExp = /^moxi-[a-z0-9](?:[a-z0-9-]{0,48}[a-z0-9])?$/;

/** `ci-42` and `moxi-ci-42` name the same run: the prefix is added when it is missing. */
export function normalRunId(id: string): string | undefined {
  const full = id.startsWith("moxi-") ? id : `moxi-${id}`;
  return full.length <= 55 && runIdPattern.test(full) ? full : undefined;
}

/** When the run was made, read off its id; undefined for ids that the user chose. */
export function runTime(id: string): Date | undefined {
  const match = /^moxi-(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)-[a-z]+-[a-z]+-[a-z0-9]{4}$/.exec(id);
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, second] = match;
  const time = new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  // A user can choose an id that looks like ours and tells no time that there is.
  return Number.isNaN(time.getTime()) ? undefined : time;
}
