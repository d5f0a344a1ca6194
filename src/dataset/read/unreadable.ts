/** A place in the file from which nothing more can be read. */
export class Unreadable extends Error {
  /** In bytes from the start of the file; -1 where only the line is known. */
  readonly offset: number;
  readonly hint: string | undefined;
  readonly line: number | undefined;

  constructor(offset: number, message: string, hint?: string, line?: number) {
    super(message);
    this.offset = offset;
    this.hint = hint;
    this.line = line;
  }
}
