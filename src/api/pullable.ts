/** What can be brought home of a run, beside the model of one that trained every weight. */
export const pullable = ["adapter", "merged", "checkpoint", "metrics"] as const;
export type Pullable = (typeof pullable)[number];
