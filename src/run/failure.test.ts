import { expect, test } from "vitest";
import { failureOf } from "./failure.ts";

const where = { run: "moxi-1", machine: "ml.g5.2xlarge", paid: true };

test.each([
  ["torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.", "out of memory"],
  [
    "The training process was killed (signal 9): most often the machine has run out of memory.",
    "out of memory",
  ],
  [
    "out of memory with 4 sequences of 2048 tokens: Set gradientCheckpointing to true",
    "out of memory",
  ],
  ["the loss is not finite since step 12", "not a number"],
  ["AlgorithmError: the model meta-llama/Llama-3.2-1B is gated, exit code: 1", "gated model"],
  ["OSError: [Errno 28] No space left on device: '/opt/ml/model'", "disk full"],
  [
    "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different ML instance type.",
    "no capacity",
  ],
  ["no spot machine came within the time limit", "no capacity"],
  ["ResourceLimitExceeded: The account-level service limit 'ml.g5.2xlarge for ...' is 0", "quota"],
  ["ClientError: Cannot find image 763104351884.dkr.ecr.us-east-1.amazonaws.com/x:1", "image"],
  [
    "ClientError: An error occurred (AccessDenied) when calling the PutObject operation",
    "permissions",
  ],
  [
    "SecretError: HF_TOKEN could not be read from /moxi/hf-token/0: the job's role lacks the permission kms:Decrypt on its key (The ciphertext refers to ...)",
    "permissions",
  ],
  ["InternalServerError: We encountered an internal error.  Please try again.", "service"],
  ["ValueError: the learning rate is too nanoscopic", "program"],
  ["KeyError: 'labels'", "program"],
])("%s", (text, kind) => {
  expect(failureOf(text, where).kind).toBe(kind);
});

test("what to change depends on where the run was", () => {
  const full = "[Errno 28] No space left on device";
  expect(failureOf(full, where).hint).toContain("--sagemaker-volume-gb");
  expect(failureOf(full, { ...where, paid: false }).hint).toContain("df -h");
});
