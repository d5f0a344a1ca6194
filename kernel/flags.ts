// Bits of a text's flags; src/dataset/kernel/kernel.ts has them too.
export const seenForeign: u32 = 1;
export const seenControl: u32 = 2;
/** "@" in what may be an address. */
export const seenMail: u32 = 4;
/** Seven digits, at most two of " ().-" between two of them. */
export const seenNumber: u32 = 8;
/** "<" or "[" as special tokens begin. */
export const seenSpecial: u32 = 16;
/** Three of ` or ~. */
export const seenFence: u32 = 32;
/** "://", "-----B" or twenty letters, digits, _ - / + in a row. */
export const seenKey: u32 = 64;
/** Bytes of characters that cannot be seen, or turn text around. */
export const seenInvisible: u32 = 128;
/** Begins as refusals do, or says "as a(n) A..." early. */
export const seenRefusal: u32 = 256;
/** Ends with a small letter or a comma. */
export const seenOpenEnd: u32 = 512;
/** Something that is no blank, for certain. */
export const seenText: u32 = 1024;
