// Runs before every test file: a request that AWS would refuse fails the test that sent it.
import { afterAll, afterEach } from "vitest";
import { demandValid, startRecording } from "./recording.ts";

const recording = startRecording();
afterEach(() => demandValid(recording.take()));
afterAll(() => {
  demandValid(recording.take());
  recording.end();
});
