// The example that `make train` runs: a model that writes READMEs, as examples/readme-writer tells.
import { defineConfig } from "moxi";

export default defineConfig({
  dataset: "data/sft/training_dataset.json",
  model: "moxi:tiny",
  // One package can be installed in several versions with one README: keep them on one side.
  split: { groupBy: "package" },
});
