import { constants, copyFile, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { writeFileAtomic } from "../../base/files.ts";
import type { Job } from "../../run/job.ts";
import type { Submission } from "../target.ts";
import { channelsOf, inputsOf, runFiles } from "./inputs.ts";
import type { InputOptions } from "./inputs.ts";
import { cloudOf } from "./limits.ts";

/**
 * Makes in a folder of this machine what a container of the attempt finds below /opt/ml: the very
 * files that would be sent, under the names of the very channels, and the service's own settings.
 * Only secrets are left out: they lie in the account.
 *
 * @param change what is another in job.json
 */
export async function layOutContainer(
  submission: Submission,
  options: InputOptions,
  change: (job: Job) => Job,
): Promise<void> {
  const { folder, plan, attempt } = submission;
  // What would come from a mirror in the bucket is given as a folder.
  const cloud = { ...cloudOf(submission), mirrorModel: false };
  const inputs = await inputsOf({ ...submission, plan: { ...plan, cloud } }, options, "fetch");
  const channels = inputs.flatMap((input) => channelsOf(input, ""));
  for (const part of ["input/config", "input/data/job", "model", "output/data", "checkpoints"]) {
    await mkdir(join(folder, part), { recursive: true });
  }
  for (const { files, channels: named } of inputs) {
    for (const [name, prefix] of Object.entries(named)) {
      // As S3 gives them out: all that begins with the prefix, under the rest of its name.
      for (const file of files.filter((each) => each.name.startsWith(prefix))) {
        const place = join(folder, "input/data", name, file.name.slice(prefix.length));
        await mkdir(dirname(place), { recursive: true });
        await copyFile(file.path, place, constants.COPYFILE_FICLONE);
      }
    }
  }
  const jobKey = `/job-a${attempt.attempt}/job.json`;
  const sent = runFiles(submission, channels, []).find(({ key }) => key.endsWith(jobKey))!;
  await write(folder, "input/data/job/job.json", change(JSON.parse(sent.text) as Job));

  const hosts = ["algo-1"];
  const type = plan.machine.name;
  const group = "homogeneousCluster";
  await write(folder, "input/config/hyperparameters.json", {});
  const told = [...channels.map(({ name }) => name), "job"].map((name) => [name, channelSettings]);
  await write(folder, "input/config/inputdataconfig.json", Object.fromEntries(told));
  await write(folder, "input/config/resourceconfig.json", {
    current_host: hosts[0],
    current_instance_type: type,
    current_group_name: group,
    hosts,
    instance_groups: [{ instance_group_name: group, instance_type: type, hosts }],
    network_interface_name: "eth0",
  });
}

const channelSettings = {
  TrainingInputMode: "File",
  S3DistributionType: "FullyReplicated",
  RecordWrapperType: "None",
};

async function write(folder: string, name: string, value: unknown): Promise<void> {
  await writeFileAtomic(join(folder, name), `${JSON.stringify(value, null, 2)}\n`);
}
