import { systemCode } from "../base/errors.ts";

type Paint = (text: string) => string;

/** The few colours there are. Meaning is always in the words too. */
export interface Style {
  readonly bold: Paint;
  readonly dim: Paint;
  readonly red: Paint;
  readonly green: Paint;
  readonly yellow: Paint;
  readonly cyan: Paint;
  readonly strike: Paint;
}

/** By hand: importing node:util for its styleText costs 5 ms of every start. */
export function createStyle(colour: boolean): Style {
  const paint =
    (on: number, off: number): Paint =>
    (text) =>
      colour ? `\u001b[${on}m${text}\u001b[${off}m` : text;
  return {
    bold: paint(1, 22),
    dim: paint(2, 22),
    red: paint(31, 39),
    green: paint(32, 39),
    yellow: paint(33, 39),
    cyan: paint(36, 39),
    strike: paint(9, 29),
  };
}

/** One of the process's two outputs, and what it can show. */
export interface Output {
  readonly style: Style;
  write(text: string): void;
  /** Of the terminal now; infinite for a file or a pipe, whose lines are never cut. */
  columns(): number;
}

/** Where a command speaks. Results go to `out`, everything else to `err`. */
export interface Terminal {
  readonly out: Output;
  readonly err: Output;
  /** Lines on `err` can be painted over. */
  readonly live: boolean;
  /** Of the terminal behind `err`. */
  rows(): number;
  /** Calls back on each Ctrl-C until the returned function is called. */
  readonly onInterrupt: (listener: () => void) => () => void;
  /** Asks yes or no, no being the answer of a bare Enter; undefined where nobody can answer. */
  readonly confirm?: ((question: string) => Promise<boolean>) | undefined;
  /** Calls back at a rhythm until the returned function is called; never keeps the process alive. */
  every(milliseconds: number, callback: () => void): () => void;
}

interface ProcessOutput {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
  write(text: string): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
}

/** The part of `process` that a terminal needs. */
export interface TerminalProcess {
  readonly stdout: ProcessOutput;
  readonly stderr: ProcessOutput;
  readonly stdin?: NodeJS.ReadStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  on(event: "SIGINT", listener: () => void): unknown;
  off(event: "SIGINT", listener: () => void): unknown;
  exit(code: number): never;
}

/** The terminal of a process. An output is touched only when it is used: opening it takes time. */
export function createTerminal(process: TerminalProcess): Terminal {
  const { env } = process;
  let out: Output | undefined;
  let err: Output | undefined;
  return {
    get out() {
      return (out ??= createOutput(process, process.stdout));
    },
    get err() {
      return (err ??= createOutput(process, process.stderr));
    },
    get live() {
      return process.stderr.isTTY === true && env.TERM !== "dumb" && !env.CI;
    },
    // Of no size where nobody has told it, as behind some serial lines and recorders.
    rows: () => process.stderr.rows || 24,
    onInterrupt(listener) {
      process.on("SIGINT", listener);
      return () => process.off("SIGINT", listener);
    },
    get confirm() {
      // Both ends of the conversation: a question that nobody sees is none.
      const { stdin, stderr } = process;
      const isPerson = stdin?.isTTY === true && stderr.isTTY === true && !env.CI;
      return isPerson ? (question: string) => confirm(question, stdin) : undefined;
    },
    every(milliseconds, callback) {
      const timer = setInterval(callback, milliseconds).unref();
      return () => clearInterval(timer);
    },
  };
}

async function confirm(message: string, input: NodeJS.ReadStream): Promise<boolean> {
  const prompts = await import("@clack/prompts");
  const answer = await prompts.confirm({
    message,
    initialValue: false,
    input,
    output: process.stderr,
    withGuide: false,
  });
  return answer === true;
}

function createOutput(process: TerminalProcess, stream: ProcessOutput): Output {
  stream.on("error", (error) => {
    const code = systemCode(error);
    // `moxi runs | head` closes our output early: nobody is left to tell. The code is that of every
    // program whose reader has gone, and not 0: a run that is no longer watched has not succeeded.
    if (code === "EPIPE") return process.exit(141);
    if (stream === process.stdout)
      process.stderr.write(`moxi: the output cannot be written (${code})\n`);
    return process.exit(1);
  });
  return {
    style: createStyle(wantsColour(stream.isTTY === true, process.env)),
    write: (text) => void stream.write(text),
    columns: () => (stream.isTTY ? stream.columns || 80 : Infinity),
  };
}

/** FORCE_COLOR decides when it is set, as in Node; then NO_COLOR; then whether people look. */
export function wantsColour(isTerminal: boolean, env: TerminalProcess["env"]): boolean {
  if (env.FORCE_COLOR !== undefined) return env.FORCE_COLOR !== "0" && env.FORCE_COLOR !== "false";
  if (env.NO_COLOR) return false;
  return isTerminal && env.TERM !== "dumb";
}
