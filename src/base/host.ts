/** A piece of work before the run starts: reading the dataset, installing Python, checking the model. */
export interface TaskNotice {
  readonly type: "task";
  /** Stable, e.g. "dataset", "python", "model". */
  readonly id: string;
  readonly state: "started" | "progress" | "done";
  /** One line for people, e.g. "installing torch 2.15.0". */
  readonly text: string;
  /** 0 to 1 where it is known. */
  readonly fraction?: number;
  /** For work that moves bytes. */
  readonly transfer?: TransferNotice;
}

/** How far a transfer is; the rate is that of the newest seconds. */
export interface TransferNotice {
  readonly bytes: number;
  readonly totalBytes: number;
  readonly bytesPerSecond: number;
  /** null while nothing has moved. */
  readonly secondsLeft: number | null;
}

/** Something worth saying that stops nothing. */
export interface MessageNotice {
  readonly type: "info" | "warning";
  readonly text: string;
  readonly hint?: string;
  /** A command that mends it as it is written: never broken into lines. */
  readonly command?: string;
}

export type Notice = TaskNotice | MessageNotice;

/** How the library speaks: it never prints. Terminal, `--json`, dashboard and tests are hosts. */
export interface Host {
  notify(notice: Notice): void;
  /**
   * Somebody else's answer takes long, in words: "AWS: ask who you are"; null once it is there. For
   * people who sit in front of it; told by `tellWait` alone.
   */
  readonly waiting?: ((what: string | null) => void) | undefined;
}

/** For callers that do not want to hear anything. */
export const silentHost: Host = { notify() {} };
