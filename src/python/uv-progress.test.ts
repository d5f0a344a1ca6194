import { expect, test } from "vitest";
import { UvProgress } from "./uv-progress.ts";

const read = (lines: readonly string[]) => {
  const progress = new UvProgress();
  return lines.map((line) => progress.read(line));
};

test("a whole installation, in a person's words", () => {
  expect(
    read([
      "Using Python 3.11.7 environment at: v",
      "Resolved 69 packages in 222ms",
      "Downloading numpy (16.0MiB)",
      "Downloading torch (514.2MiB)",
      "Downloading six (1.2KiB)",
      " Downloaded numpy",
      " Downloaded torch",
      " Downloaded six",
      "Prepared 69 packages in 19.04s",
      "Installed 69 packages in 312ms",
      " + torch==2.15.0",
    ]),
  ).toEqual([
    undefined,
    { text: "69 packages to install" },
    { text: "downloaded 0 B of 16.8 MB: numpy (16.8 MB)", fraction: 0 },
    { text: "downloaded 0 B of 556 MB: torch (539 MB) and 1 more", fraction: 0 },
    undefined,
    {
      text: "downloaded 16.8 MB of 556 MB: torch (539 MB) and 1 more",
      fraction: expect.closeTo(0.0302, 3),
    },
    { text: "downloaded 556 MB of 556 MB: six (1.2 kB)", fraction: expect.closeTo(1, 3) },
    { text: "downloaded 556 MB of 556 MB", fraction: 1 },
    { text: "unpacking 69 packages" },
    { text: "69 packages installed" },
    undefined,
  ]);
});

test("a download that is announced late does not turn the bar back", () => {
  const states = read([
    "Downloading a (10.0MiB)",
    " Downloaded a",
    "Downloading b (10.0MiB)",
    " Downloaded b",
  ]);
  expect(states.map((state) => state?.fraction)).toEqual([0, 1, 1, 1]);
});

test("a line that only resembles uv's changes nothing", () => {
  expect(
    read([" Downloaded unknown", "Downloading x", "Downloading y (many)", "Resolved"]),
  ).toEqual([{ text: "downloaded 0 B of 0 B", fraction: 0 }, undefined, undefined, undefined]);
});
