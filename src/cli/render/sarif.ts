import type { DatasetCheck, ProblemPlace } from "../../dataset/report.ts";
import { placeText } from "../../dataset/telling.ts";

const levels = { error: "error", warning: "warning", info: "note" } as const;

/** A check as SARIF 2.1.0, which code scanning reads. */
export function sarifOf({ problems }: DatasetCheck) {
  return {
    $schema: "https://json.schemastore.org/sarif-2.1.0.json",
    version: "2.1.0",
    runs: [
      {
        tool: {
          driver: {
            name: "moxi data check",
            rules: problems.map(({ code, cause, remedy, severity }) => ({
              id: code,
              shortDescription: { text: cause },
              help: { text: remedy },
              defaultConfiguration: { level: levels[severity] },
            })),
          },
        },
        results: problems.flatMap(({ code, severity, cause, places }, ruleIndex) =>
          places.map((place) => ({
            ruleId: code,
            ruleIndex,
            level: levels[severity],
            message: { text: `${cause} (${placeText(place)})` },
            locations: [{ physicalLocation: location(place) }],
          })),
        ),
      },
    ],
  };
}

function location({ file, line, column }: ProblemPlace) {
  const uri = file.split("/").map(encodeURIComponent).join("/");
  const region =
    line === undefined
      ? {}
      : { region: { startLine: line, ...(column === undefined ? {} : { startColumn: column }) } };
  return { artifactLocation: { uri }, ...region };
}
