import type { Recorded } from "./decode.ts";

type Input = Record<string, unknown>;
type Rule = (input: Input, request: Recorded) => string[];

const when = (broken: boolean, what: string) => (broken ? [what] : []);
const record = (value: unknown) =>
  (typeof value === "object" && value !== null ? value : {}) as Input;
const list = (value: unknown) => (Array.isArray(value) ? (value as unknown[]).map(record) : []);
const text = (value: unknown, otherwise = "") => (typeof value === "string" ? value : otherwise);
const size = (value: unknown) => Buffer.byteLength(typeof value === "string" ? value : "");

/**
 * What AWS's documentation says and its models cannot: rules across fields, by "service" or
 * "service.Operation". Each cites its page of docs.aws.amazon.com.
 */
export const rules: Readonly<Record<string, Rule | undefined>> = {
  s3: (input, { headers, secure }) => {
    const payload = headers["x-amz-content-sha256"] ?? "";
    const length = headers["content-length"];
    return [
      // AmazonS3/latest/userguide/bucketnamingrules.html
      ...when(
        typeof input["Bucket"] === "string" &&
          !/^(?!.*\.\.)(?!xn--)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(input["Bucket"]),
        "Bucket is no bucket's name",
      ),
      // AmazonS3/latest/userguide/object-keys.html
      ...when(size(input["Key"]) > 1024, "Key has more than 1024 bytes"),
      // AmazonS3/latest/API/sig-v4-header-based-auth.html
      ...when(
        !/^(?:[0-9a-f]{64}|UNSIGNED-PAYLOAD|STREAMING-[A-Z0-9-]+)$/.test(payload),
        "x-amz-content-sha256 is missing or no hash",
      ),
      // Unsigned bodies are for TLS alone: AmazonS3/latest/API/sigv4-auth-using-authorization-header.html
      ...when(payload === "UNSIGNED-PAYLOAD" && !secure, "an unsigned body without TLS"),
      ...when(length !== undefined && !/^\d+$/.test(length), "Content-Length is no number"),
      // AmazonS3/latest/userguide/checking-object-integrity-upload.html
      ...when(
        "x-amz-checksum-crc32" in headers &&
          !/^[A-Za-z0-9+/]{6}==$/.test(headers["x-amz-checksum-crc32"]!),
        "x-amz-checksum-crc32 is not the base64 of four bytes",
      ),
      ...when(
        "x-amz-expected-bucket-owner" in headers &&
          !/^\d{12}$/.test(headers["x-amz-expected-bucket-owner"]!),
        "x-amz-expected-bucket-owner is no account",
      ),
      // AmazonS3/latest/API/sig-v4-header-based-auth.html: host and every x-amz-* header is signed
      ...Object.keys(headers)
        .filter((name) => name === "host" || name.startsWith("x-amz-"))
        .filter((name) => !signedHeaders(headers).includes(name))
        .map((name) => `${name} is not signed`),
    ];
  },
  // AmazonS3/latest/API/API_PutObject.html: If-None-Match takes "*" alone
  "s3.PutObject": (input, { headers }) => [
    ...when(
      !["*", undefined].includes(input["IfNoneMatch"] as string),
      'If-None-Match must be "*"',
    ),
    ...when(headers["content-length"] === undefined, "Content-Length is missing"),
  ],
  // AmazonS3/latest/userguide/qfacts.html: parts 1 to 10,000
  "s3.UploadPart": (input, { headers }) => [
    ...when(!between(input["PartNumber"], 1, 10_000), "PartNumber must be 1 to 10000"),
    ...when(headers["content-length"] === undefined, "Content-Length is missing"),
  ],
  // AmazonS3/latest/API/API_CompleteMultipartUpload.html: ascending order, at least one part
  "s3.CompleteMultipartUpload": (input) => {
    const parts = list(record(input["MultipartUpload"])["Parts"]);
    const numbers = parts.map((part) => Number(part["PartNumber"]));
    return [
      ...when(parts.length === 0, "no parts"),
      ...when(
        parts.some((part) => !part["ETag"]),
        "a part without an ETag",
      ),
      ...when(
        numbers.some((number) => !between(number, 1, 10_000)),
        "PartNumber must be 1 to 10000",
      ),
      ...when(
        numbers.some((number, at) => at > 0 && number <= numbers[at - 1]!),
        "parts out of order",
      ),
      ...when(
        !["*", undefined].includes(input["IfNoneMatch"] as string),
        'If-None-Match must be "*"',
      ),
    ];
  },
  // AmazonS3/latest/API/API_GetObject.html, RFC 9110 14.1.2
  "s3.GetObject": (input) => {
    const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(text(input["Range"], "bytes=0-")) ?? [];
    return when(
      from === undefined || (to !== "" && Number(to) < Number(from)),
      "Range is no range",
    );
  },
  // AmazonS3/latest/API/API_DeleteObjects.html: at most 1000
  "s3.DeleteObjects": (input) =>
    when(!between(list(record(input["Delete"])["Objects"]).length, 1, 1000), "1 to 1000 objects"),
  // sagemaker/latest/APIReference/API_CreateTrainingJob.html and the pages of its structures
  "sagemaker.CreateTrainingJob": (input) => {
    const stopping = record(input["StoppingCondition"]);
    const resources = record(input["ResourceConfig"]);
    const spot = input["EnableManagedSpotTraining"] === true;
    const [run, wait] = [stopping["MaxRuntimeInSeconds"], stopping["MaxWaitTimeInSeconds"]];
    const choices = ["InstanceType", "InstanceGroups", "InstancePreferences"];
    const preferences = list(resources["InstancePreferences"]);
    const chosen = choices.filter((name) => resources[name] !== undefined);
    const algorithm = record(input["AlgorithmSpecification"]);
    const channels = list(input["InputDataConfig"]);
    const names = channels.map((channel) => channel["ChannelName"]);
    const uris = channels.map((channel) => record(record(channel["DataSource"])["S3DataSource"]));
    return [
      ...when(spot && wait === undefined, "spot needs MaxWaitTimeInSeconds"),
      ...when(!spot && wait !== undefined, "MaxWaitTimeInSeconds is for spot alone"),
      ...when(Number(wait) < Number(run), "MaxWaitTimeInSeconds is less than MaxRuntimeInSeconds"),
      ...when(Number(run) > 28 * 86_400, "MaxRuntimeInSeconds is more than 28 days"),
      ...when(chosen.length !== 1, `one of ${choices.join(", ")}, and not ${chosen.join(" and ")}`),
      ...when(spot && chosen[0] === "InstancePreferences", "InstancePreferences is for on demand"),
      // sagemaker/latest/APIReference/API_InstancePreference.html
      ...when(
        new Set(preferences.map((one) => one["InstanceType"])).size !== preferences.length,
        "an instance type twice in InstancePreferences",
      ),
      ...when(
        preferences.length > 0 &&
          preferences.filter((one) => one["InstanceCount"] !== undefined).length !==
            (resources["InstanceCount"] === undefined ? preferences.length : 0),
        "InstanceCount belongs to the job, or to each of InstancePreferences",
      ),
      ...when(
        spot && Number(resources["KeepAlivePeriodInSeconds"] ?? 0) > 0,
        "a warm pool is not for spot",
      ),
      ...when(
        resources["VolumeKmsKeyId"] !== undefined &&
          /^ml\.(?:g4dn|g5|g6|g6e|g7|g7e|p4d|p4de|p5|p5e|p5en|p6-\w+)\./.test(
            String(resources["InstanceType"]),
          ),
        "VolumeKmsKeyId is refused for instances with their own disks",
      ),
      ...when(
        (algorithm["TrainingImage"] === undefined) === (algorithm["AlgorithmName"] === undefined),
        "either TrainingImage or AlgorithmName",
      ),
      ...when(new Set(names).size !== names.length, "two channels of the same name"),
      // sagemaker/latest/dg/model-access-training-data.html: a prefix that ends within a name matches others
      ...uris
        .filter((source) => source["S3DataType"] === "S3Prefix")
        .map((source) => String(source["S3Uri"]))
        .filter((uri) => !uri.endsWith("/"))
        .map((uri) => `the prefix ${uri} does not end in "/"`),
      ...duplicateTags(input["Tags"]),
    ];
  },
  // systems-manager/latest/userguide/sysman-paramstore-su-create.html
  "ssm.PutParameter": (input) => [
    ...when(/^\/?(?:aws|ssm)/i.test(String(input["Name"])), "names with aws or ssm are AWS's own"),
    ...when(input["Tags"] !== undefined && input["Overwrite"] === true, "Tags exclude Overwrite"),
    ...when(
      size(input["Value"]) > 4096 && input["Tier"] !== "Advanced",
      "more than 4 KB need the advanced tier",
    ),
    ...duplicateTags(input["Tags"]),
  ],
  // AWSEC2/latest/APIReference/API_RunInstances.html, AWSEC2/latest/UserGuide/user-data.html
  "ec2.RunInstances": (input) => {
    const data = input["UserData"];
    const raw = typeof data === "string" ? Buffer.from(data, "base64") : Buffer.alloc(0);
    return [
      ...when(Number(input["MinCount"]) > Number(input["MaxCount"]), "MinCount exceeds MaxCount"),
      ...when(
        typeof data === "string" && raw.toString("base64") !== data,
        "UserData is not in base64",
      ),
      ...when(raw.length > 16_384, "UserData has more than 16 KB"),
      ...when(
        !/^[\x20-\x7e]{0,64}$/.test(text(input["ClientToken"])),
        "ClientToken has at most 64 ASCII characters",
      ),
    ];
  },
  // AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
  "logs.FilterLogEvents": (input) =>
    when(
      (input["logGroupName"] === undefined) === (input["logGroupIdentifier"] === undefined),
      "either logGroupName or logGroupIdentifier",
    ),
  // awsaccountbilling/latest/aboutv2/price-changes.html: a query without filters downloads everything
  "pricing.GetProducts": (input) => when(list(input["Filters"]).length === 0, "no Filters"),
};

function signedHeaders(headers: Recorded["headers"]): string[] {
  const signed = /SignedHeaders=([^,]+)/.exec(headers["authorization"] ?? "");
  // An unsigned request has nothing that it could sign.
  return signed === null ? Object.keys(headers) : signed[1]!.split(";");
}

function between(value: unknown, least: number, most: number): boolean {
  return typeof value === "number" && value >= least && value <= most;
}

/** sagemaker/latest/APIReference/API_Tag.html: keys are unique, and "aws:" is AWS's own. */
function duplicateTags(tags: unknown): string[] {
  const keys = list(tags).map((tag) => String(tag["Key"]));
  return [
    ...when(new Set(keys).size !== keys.length, "a tag's key twice"),
    ...when(
      keys.some((key) => /^aws:/i.test(key)),
      "tags that start with aws: are AWS's own",
    ),
  ];
}
