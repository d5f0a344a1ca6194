import { copyFile, cp, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The real bootstrap.py with trainer.py in the training program's place. */
export async function standInTrainer(project: string): Promise<string> {
  const real = fileURLToPath(new URL("../../trainer/", import.meta.url));
  const folder = join(project, "trainer");
  const program = join(folder, "moxi_train", "finetune");
  await mkdir(program, { recursive: true });
  await copyFile(join(real, "bootstrap.py"), join(folder, "bootstrap.py"));
  await cp(join(real, "moxi_train", "supervisor"), join(folder, "moxi_train", "supervisor"), {
    recursive: true,
  });
  const standIn = fileURLToPath(new URL("trainer.py", import.meta.url));
  await copyFile(standIn, join(program, "main.py"));
  for (const empty of [join(folder, "moxi_train"), program]) {
    await writeFile(join(empty, "__init__.py"), "");
  }
  return folder;
}
