import { Environment, Interpreter, Template } from "@huggingface/jinja";
import { asPython, pythonFunctions } from "./template-python.ts";

/** The template itself refuses the conversation, in its own words. */
export class TemplateRefusal extends Error {}

/**
 * Around a `{% generation %}` block in what {@link compileTemplate} renders: two halves of surrogate
 * pairs, which no text of a row has (see canonicalRow).
 */
export const blockMarks = { start: "\ud800\ud800", end: "\ud801\ud801" } as const;

/** The day that templates write when they ask for today's: the same rows are the same tokens tomorrow. */
export const templateDate = "26 Jul 2024";

export type Render = (values: Readonly<Record<string, unknown>>) => string;

/**
 * Compiles a chat template as transformers does; with `marked`, its generation blocks are marked.
 * The date is always {@link templateDate}.
 *
 * @throws Error if the template cannot be read here; what it returns throws TemplateRefusal, or an
 * Error for what the template does and cannot be done here
 */
export function compileTemplate(source: string, marked = false): Render {
  const text = marked
    ? source
        .replace(/\{%-?\s*generation\s*-?%\}/g, "{{- moxi_start }}")
        .replace(/\{%-?\s*endgeneration\s*-?%\}/g, "{{- moxi_end }}")
    : source;
  const { parsed } = new Template(text);
  asPython(parsed);
  return (values) => {
    const environment = new Environment();
    for (const [name, value] of Object.entries({ ...globals, ...values })) {
      environment.set(name, value);
    }
    return String(new Interpreter(environment).run(parsed).value);
  };
}

/** What templates find besides what they are given; none of it depends on the day. */
const globals: Readonly<Record<string, unknown>> = {
  true: true,
  True: true,
  false: false,
  False: false,
  none: null,
  None: null,
  range,
  date_string: templateDate,
  strftime_now: formatDay,
  raise_exception(message: unknown) {
    throw new TemplateRefusal(String(message));
  },
  ...pythonFunctions,
  moxi_start: blockMarks.start,
  moxi_end: blockMarks.end,
};

function range(first: number, end?: number, step = 1): number[] {
  const [from, to] = end === undefined ? [0, first] : [first, end];
  if (step === 0) throw new Error("a range that never ends");
  const length = Math.max(0, Math.ceil((to - from) / step));
  return Array.from({ length }, (_, index) => from + index * step);
}

const dayParts: Readonly<Record<string, string>> = {
  a: "Fri",
  A: "Friday",
  b: "Jul",
  B: "July",
  d: "26",
  H: "00",
  I: "12",
  j: "208",
  m: "07",
  M: "00",
  p: "AM",
  S: "00",
  w: "5",
  y: "24",
  Y: "2024",
  "%": "%",
};

/** Python's strftime of midnight on 26 July 2024. */
function formatDay(format: string): string {
  return format.replace(/%(.)/gs, (directive, letter: string) => {
    const part = dayParts[letter];
    if (part === undefined) throw new Error(`the date directive ${directive} is not known`);
    return part;
  });
}
