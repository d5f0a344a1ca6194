export interface Copied {
  /** That were sent or fetched. */
  readonly files: number;
  readonly bytes: number;
  /** Of these bytes, found from a copy that was broken off. */
  readonly resumedBytes: number;
  /** Left out because the other side has the same. */
  readonly unchangedFiles: number;
}
