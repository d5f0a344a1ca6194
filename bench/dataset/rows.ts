// Writes the same chat rows as JSON Lines and as one JSON array: node bench/dataset/rows.ts FOLDER BYTES
import { closeSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";

const words =
  "the of and to in is that for it as was with be by on not he his but at are this have from or had an they which one you were all her she there would their we him been has when who will no more if out so up said what its about than into them can only other time new some could these two may first then do any like my now over such our man me even most made after also did many off before must well back through years where much your way down should because long each just state those people too mr how little good make very work still see men day get here between never life being under same another know while last might us great old year come since against go came right used take three house server request answer customer order invoice".split(
    " ",
  );

/** Numbers from 0 to 1 (mulberry32): the same rows each time. */
let state = 20261124;
function next(): number {
  state = (state + 0x6d2b79f5) | 0;
  let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
}

function sentences(count: number): string {
  const made: string[] = [];
  for (let sentence = 0; sentence < count; sentence++) {
    const parts: string[] = [];
    for (let left = 6 + Math.floor(next() * 14); left > 0; left--) {
      parts.push(words[Math.floor(next() * words.length)]!);
    }
    const text = parts.join(" ");
    made.push(`${text[0]!.toUpperCase()}${text.slice(1)}.`);
  }
  return made.join(" ");
}

const [folder = ".", bytes = "1e9"] = process.argv.slice(2);
const lines = openSync(join(folder, "rows.jsonl"), "w");
const array = openSync(join(folder, "rows.json"), "w");
let [written, rows] = [0, 0];
while (written < Number(bytes)) {
  const some: string[] = [];
  for (let index = 0; index < 2000; index++) {
    const row = {
      messages: [
        {
          role: "system",
          content: "You are the support agent of a shop. Answer shortly and kindly.",
        },
        { role: "user", content: sentences(2 + Math.floor(next() * 3)) },
        { role: "assistant", content: sentences(3 + Math.floor(next() * 8)) },
      ],
    };
    some.push(JSON.stringify(row));
  }
  writeSync(lines, `${some.join("\n")}\n`);
  writeSync(array, `${rows === 0 ? "[" : ",\n"}${some.join(",\n")}`);
  rows += some.length;
  written += some.reduce((sum, line) => sum + line.length + 1, 0);
}
writeSync(array, "]\n");
closeSync(lines);
closeSync(array);
process.stdout.write(`${rows}\n`);
