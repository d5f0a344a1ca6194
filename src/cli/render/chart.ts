/** A point of a curve: an optimizer step, and a value that may be missing. */
export type Point = readonly [step: number, value: number | null];

export interface ChartOptions {
  /** Drawn as a line. */
  readonly line: readonly Point[];
  /** Drawn as single marks over the line. */
  readonly marks: readonly Point[];
  /** The right edge: a run that has come half way fills half of the chart. */
  readonly steps: number;
  /** Of the plot in characters, without the axis. */
  readonly columns: number;
  readonly rows: number;
  readonly paintLine?: (text: string) => string;
  readonly paintMark?: (text: string) => string;
  readonly paintAxis?: (text: string) => string;
}

const axisColumns = 7;

/**
 * Draws a curve in braille, two by four dots a character, with the value of the top and the bottom
 * row beside it. Steps that share a column of dots are averaged. Empty when there is no value.
 */
export function chart(options: ChartOptions): string[] {
  const { columns, rows, steps } = options;
  const same = (text: string) => text;
  const { paintLine = same, paintMark = same, paintAxis = same } = options;
  const values = [...options.line, ...options.marks].flatMap(([, value]) => value ?? []);
  if (values.length === 0) return [];
  const high = Math.max(...values);
  const low = Math.min(...values);

  const dotX = (step: number) => Math.round((step / Math.max(1, steps)) * (2 * columns - 1));
  const dotY = (value: number) =>
    high === low ? 2 * rows : Math.round(((high - value) / (high - low)) * (4 * rows - 1));

  const dots = Array.from({ length: rows }, () => Array.from({ length: columns }, () => 0));
  const set = (x: number, y: number) => {
    dots[y >> 2]![x >> 1]! |= brailleBits[y & 3]![x & 1]!;
  };
  let last: readonly [x: number, y: number] | undefined;
  for (const [x, value] of columnMeans(options.line, dotX)) {
    const y = dotY(value);
    for (const [dx, dy] of last === undefined ? [[x, y] as const] : segment(last, [x, y]))
      set(dx, dy);
    last = [x, y];
  }
  const marks = new Set(
    options.marks.flatMap(([step, value]) =>
      value === null ? [] : [(dotY(value) >> 2) * columns + (dotX(step) >> 1)],
    ),
  );

  return dots.map((row, y) => {
    const label = y === 0 ? high : y === rows - 1 ? low : undefined;
    const axis = label === undefined ? `${" ".repeat(axisColumns - 1)}│` : `${axisLabel(label)} ┤`;
    const cells = row
      .map((bits, x) => {
        if (marks.has(y * columns + x)) return "●";
        return bits === 0 ? " " : String.fromCharCode(0x2800 + bits);
      })
      .join("")
      .trimEnd();
    return (
      paintAxis(axis) +
      cells.replace(/●+|[\u2800-\u28ff]+/g, (run) =>
        run[0] === "●" ? paintMark(run) : paintLine(run),
      )
    );
  });
}

/** Unicode's numbering of the eight dots, by row and column. */
const brailleBits = [
  [0x01, 0x08],
  [0x02, 0x10],
  [0x04, 0x20],
  [0x40, 0x80],
];

function axisLabel(value: number): string {
  const text =
    value < 10
      ? value.toFixed(value < 1 ? 3 : 2)
      : value < 1000
        ? value.toPrecision(3)
        : value.toExponential(0);
  return text.padStart(axisColumns - 2);
}

/** The mean of the values that fall on each column of dots, from left to right. */
function columnMeans(points: readonly Point[], dotX: (step: number) => number): [number, number][] {
  const sums = new Map<number, { sum: number; count: number }>();
  for (const [step, value] of points) {
    if (value === null) continue;
    const column = sums.get(dotX(step)) ?? { sum: 0, count: 0 };
    sums.set(dotX(step), { sum: column.sum + value, count: column.count + 1 });
  }
  return [...sums].sort(([a], [b]) => a - b).map(([x, { sum, count }]) => [x, sum / count]);
}

/** The dots of a straight line, both ends included. */
function* segment(
  [x0, y0]: readonly [number, number],
  [x1, y1]: readonly [number, number],
): Generator<readonly [number, number]> {
  const length = Math.max(Math.abs(x1 - x0), Math.abs(y1 - y0), 1);
  for (let i = 0; i <= length; i++) {
    yield [Math.round(x0 + ((x1 - x0) * i) / length), Math.round(y0 + ((y1 - y0) * i) / length)];
  }
}
