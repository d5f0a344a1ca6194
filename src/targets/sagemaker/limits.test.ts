import { expect, test } from "vitest";
import { freezePlan } from "../../run/plan.ts";
import { attempt, plan as basePlan, run } from "../../../test/fixtures/story.ts";
import { bucketOf, jobSeconds, trainingSeconds } from "./limits.ts";
import { settlePlace } from "./place.ts";

function seconds(maxSeconds: number | null, left?: number) {
  const { planHash: _, recipeHash: __, ...base } = basePlan();
  const plan = freezePlan({ ...base, limits: { maxSeconds } });
  const ref = {
    run,
    folder: "/",
    plan,
    attempt: { ...attempt, ...(left !== undefined && { maxSeconds: left }) },
  };
  return { job: jobSeconds(ref), training: trainingSeconds(ref) };
}

test.each([
  // The service's limit is what somebody agreed to; the supervisor ends before it, to save and send.
  [86_400, 85_800],
  [7200, 6600],
  [6000, 5400],
  [3600, 3240],
  [300, 270],
  [5, 4],
  [1, 1],
])("of %i s, %i are for training", (job, training) => {
  expect(seconds(job)).toEqual({ job, training });
});

test("a resumed attempt has what is left; where nobody sets a limit, the service's own day", () => {
  expect(seconds(86_400, 1000)).toEqual({ job: 1000, training: 900 });
  expect(seconds(null)).toEqual({ job: 86_400, training: 85_800 });
});

const someRole = "arn:aws:iam::123456789012:role/team/moxi";

test.each([
  [someRole, null, { owner: "123456789012" }],
  [
    "arn:aws-cn:iam::123456789012:role/moxi",
    "alias/a",
    { owner: "123456789012", kmsKeyId: "alias/a" },
  ],
  ["arn:aws:iam::1:role/moxi", null, {}],
])("the bucket of a run as %s under the key %s", (roleArn, kmsKey, more) => {
  const cloud = settlePlace({ bucket: "team-data", roleArn: someRole }, "us-east-1");
  expect(bucketOf({ ...cloud, roleArn, kmsKey })).toEqual({ name: "team-data", ...more });
});
