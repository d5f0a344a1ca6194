// Where things lie in the memory that the kernel shares with its caller, in bytes from its start.
// src/dataset/kernel/kernel.ts has the same numbers.

/** What of the row that was read last stands before its last text (f64). */
export const promptAt: usize = 4096;
/** 64 bins of four bytes: the smallest hash that fell into each. */
export const binsAt: usize = 4352;
/** The bins as they are kept: a byte each. */
export const sketchAt: usize = 4608;
/** The runs of five words that a text had lately. */
export const recentAt: usize = 8192;
/** What was found in each text of the row, 32 bytes each. */
export const textsAt: usize = 16384;
export const maxTexts: u32 = 1024;
/** Where the words of a piece of text begin and end, in turns (u32). */
export const boundsAt: usize = 49152;
/** The hashes of its words (u32), behind the last four of the piece before. */
export const wordsAt: usize = 59392;
/** The texts of one row, unescaped, each followed by blanks. The caller puts the rows behind them. */
export const outputAt: usize = 65536;
/** Longer rows are left to the caller. */
export const maxRow: usize = 1 << 17;
/** Blanks behind each text: it is read 64 bytes at a time, and once more behind its end. */
export const padding: usize = 128;
