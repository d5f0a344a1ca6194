/** A place in the file from which nothing more can be read. */
export class Unreadable extends Error {
  /** In bytes from the start of the file. */
  readonly offset: number;
  readonly hint: string | undefined;

  constructor(offset: number, message: string, hint?: string) {
    super(message);
    this.offset = offset;
    this.hint = hint;
  }
}
