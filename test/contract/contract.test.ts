import { execFile } from "node:child_process";
import { createServer } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { Worker } from "node:worker_threads";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { check } from "./check.ts";
import type { Recorded } from "./decode.ts";
import { demandValid, startRecording } from "./recording.ts";
import type { Recording } from "./recording.ts";

const signed = (service: string, names = "host") =>
  `AWS4-HMAC-SHA256 Credential=AKIA/20261124/us-east-1/${service}/aws4_request, SignedHeaders=${names}, Signature=00`;

function request(parts: Partial<Recorded> & { service: string; text?: string }): Recorded {
  const { service, text = "", headers = {}, ...rest } = parts;
  const names = ["host", ...Object.keys(headers).filter((name) => name.startsWith("x-amz-"))];
  return {
    method: "POST",
    target: "/",
    secure: true,
    bytes: Buffer.byteLength(text),
    body: Buffer.from(text).toString("base64"),
    ...rest,
    headers: { host: "aws.test", authorization: signed(service, names.join(";")), ...headers },
  };
}

const json = (service: string, target: string, input: object, version = "1.1") =>
  request({
    service,
    text: JSON.stringify(input),
    headers: { "content-type": `application/x-amz-json-${version}`, "x-amz-target": target },
  });
const query = (service: string, parameters: Record<string, string>) =>
  request({
    service,
    text: new URLSearchParams(parameters).toString(),
    headers: { "content-type": "application/x-www-form-urlencoded" },
  });
const s3 = (method: string, target: string, headers = {}, text = "") =>
  request({
    service: "s3",
    method,
    target,
    text,
    headers: {
      "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
      "content-length": `${text.length}`,
      ...headers,
    },
  });

const job = {
  TrainingJobName: "moxi-20261124-120000-calm-otter-7f3k-a1",
  RoleArn: "arn:aws:iam::123456789012:role/moxi",
  AlgorithmSpecification: {
    TrainingImage:
      "763104351884.dkr.ecr.us-east-1.amazonaws.com/huggingface-pytorch-training:2.9.0",
    TrainingInputMode: "File",
    ContainerEntrypoint: ["python3", "-u", "/opt/ml/input/data/moxi/bootstrap.py"],
  },
  InputDataConfig: [
    {
      ChannelName: "moxi",
      DataSource: {
        S3DataSource: {
          S3DataType: "S3Prefix",
          S3Uri: "s3://bucket/moxi/code/0/",
          S3DataDistributionType: "FullyReplicated",
        },
      },
    },
  ],
  OutputDataConfig: { S3OutputPath: "s3://bucket/moxi/models/" },
  ResourceConfig: { InstanceType: "ml.g5.2xlarge", InstanceCount: 1, VolumeSizeInGB: 30 },
  StoppingCondition: { MaxRuntimeInSeconds: 3600 },
};
const create = (changes: object) =>
  json("sagemaker", "SageMaker.CreateTrainingJob", { ...job, ...changes });
const resources = (changes: object) =>
  create({ ResourceConfig: { ...job.ResourceConfig, ...changes } });
const channel = job.InputDataConfig[0]!;
const complete = (...numbers: number[]) =>
  `<CompleteMultipartUpload>${numbers.map((number) => `<Part><ETag>"e"</ETag><PartNumber>${number}</PartNumber></Part>`).join("")}</CompleteMultipartUpload>`;

describe("what AWS takes passes", () => {
  const right: Record<string, Recorded> = {
    "a training job": create({}),
    "a spot job": create({
      EnableManagedSpotTraining: true,
      StoppingCondition: { MaxRuntimeInSeconds: 3600, MaxWaitTimeInSeconds: 7200 },
    }),
    "a name of 63 characters": create({ TrainingJobName: `m${"-a".repeat(31)}` }),
    "a parameter": json("ssm", "AmazonSSM.PutParameter", {
      Name: "/moxi/hf",
      Value: "v",
      Type: "SecureString",
      Tags: [{ Key: "moxi:managed", Value: "true" }],
      KeyId: "arn:aws:kms:us-east-1:123456789012:key/0",
    }),
    "log events": json("logs", "Logs_20140328.GetLogEvents", {
      logGroupName: "/aws/sagemaker/TrainingJobs",
      logStreamName: "a/algo-1",
    }),
    "who am I": query("sts", { Action: "GetCallerIdentity", Version: "2011-06-15" }),
    "a simulation": query("iam", {
      Action: "SimulatePrincipalPolicy",
      Version: "2010-05-08",
      PolicySourceArn: "arn:aws:iam::123456789012:role/moxi",
      "ActionNames.member.1": "s3:GetObject",
      "ActionNames.member.2": "s3:PutObject",
    }),
    "an instance": query("ec2", {
      Action: "RunInstances",
      Version: "2016-11-15",
      MinCount: "1",
      MaxCount: "1",
      UserData: Buffer.from("#!/bin/sh").toString("base64"),
      "TagSpecification.1.ResourceType": "instance",
      "TagSpecification.1.Tag.1.Key": "moxi",
      "TagSpecification.1.Tag.1.Value": "1",
    }),
    "an object": s3("PUT", "/bucket/a/b%20c?x-id=PutObject", {
      "x-amz-checksum-crc32": "AAAAAA==",
      "if-none-match": "*",
    }),
    "a part": s3("PUT", "/bucket/key?partNumber=3&uploadId=u"),
    "a list": s3("GET", "/bucket?list-type=2&prefix=moxi%2F&encoding-type=url"),
    "a bucket by host": s3("GET", "/key", {
      host: "bucket.s3.eu-west-1.amazonaws.com",
      range: "bytes=0-99",
    }),
    "a completion": s3(
      "POST",
      "/bucket/key?uploadId=u",
      { "if-none-match": "*" },
      complete(1, 2, 7),
    ),
  };
  test.for(Object.entries(right))("%s", ([, each]) => {
    expect(check(each)).toEqual([]);
  });
});

describe("what AWS refuses is told", () => {
  const wrong: readonly (readonly [string, Recorded, RegExp])[] = [
    [
      "a name with a blank",
      create({ TrainingJobName: "bad name!" }),
      /TrainingJobName does not match/,
    ],
    ["a name of 64", create({ TrainingJobName: "m".repeat(64) }), /64 characters, and may have 63/],
    ["no such machine", resources({ InstanceType: "ml.fake.9xlarge" }), /InstanceType is ml\.fake/],
    ["no machines", resources({ InstanceCount: -1 }), /InstanceCount has -1, and needs 0/],
    ["a number as text", resources({ InstanceCount: "1" }), /InstanceCount is no whole number/],
    ["a field that is none", create({ Spot: true }), /Spot is not known/],
    ["what is needed", create({ RoleArn: undefined }), /RoleArn is missing/],
    ["no role", create({ RoleArn: "arn:aws:iam::12:user/x" }), /RoleArn/],
    [
      "an input mode",
      create({
        AlgorithmSpecification: { ...job.AlgorithmSpecification, TrainingInputMode: "Bogus" },
      }),
      /Bogus, none of its values/,
    ],
    [
      "a long argument",
      create({
        AlgorithmSpecification: {
          ...job.AlgorithmSpecification,
          ContainerEntrypoint: ["x".repeat(257)],
        },
      }),
      /ContainerEntrypoint\.0 has 257/,
    ],
    [
      "a long parameter",
      create({ HyperParameters: { a: "x".repeat(2501) } }),
      /HyperParameters\.a has 2501/,
    ],
    [
      "a variable's name",
      create({ Environment: { "1A": "x" } }),
      /Environment\.key 1A does not match/,
    ],
    ["spot without waiting", create({ EnableManagedSpotTraining: true }), /spot needs MaxWait/],
    [
      "waiting without spot",
      create({ StoppingCondition: { MaxRuntimeInSeconds: 1, MaxWaitTimeInSeconds: 2 } }),
      /for spot alone/,
    ],
    [
      "waiting less than running",
      create({
        EnableManagedSpotTraining: true,
        StoppingCondition: { MaxRuntimeInSeconds: 3, MaxWaitTimeInSeconds: 2 },
      }),
      /less than MaxRuntime/,
    ],
    [
      "a key for a disk of its own",
      resources({ VolumeKmsKeyId: "k" }),
      /VolumeKmsKeyId is refused/,
    ],
    [
      "two machines at once",
      resources({ InstancePreferences: [{ InstanceType: "ml.g5.xlarge" }] }),
      /one of InstanceType/,
    ],
    [
      "a machine twice",
      resources({
        InstanceType: undefined,
        InstancePreferences: [{ InstanceType: "ml.g5.xlarge" }, { InstanceType: "ml.g5.xlarge" }],
      }),
      /an instance type twice/,
    ],
    [
      "counts in some of the machines",
      resources({
        InstanceType: undefined,
        InstancePreferences: [{ InstanceType: "ml.g5.xlarge", InstanceCount: 1 }],
      }),
      /InstanceCount belongs to/,
    ],
    ["a channel twice", create({ InputDataConfig: [channel, channel] }), /two channels/],
    [
      "a prefix that ends within a name",
      create({
        InputDataConfig: [
          {
            ...channel,
            DataSource: {
              S3DataSource: { ...channel.DataSource.S3DataSource, S3Uri: "s3://bucket/moxi" },
            },
          },
        ],
      }),
      /does not end in/,
    ],
    [
      "a tag twice",
      create({
        Tags: [
          { Key: "a", Value: "1" },
          { Key: "a", Value: "2" },
        ],
      }),
      /key twice/,
    ],
    [
      "no such operation",
      json("sagemaker", "SageMaker.CreateTrainingJobs", {}),
      /no operation CreateTrainingJobs/,
    ],
    [
      "another protocol version",
      json("sagemaker", "SageMaker.ListTrainingJobs", {}, "1.0"),
      /Content-Type must be/,
    ],
    [
      "AWS's own parameter",
      json("ssm", "AmazonSSM.PutParameter", { Name: "/aws/x", Value: "v" }),
      /AWS's own/,
    ],
    [
      "a parameter of no kind",
      json("ssm", "AmazonSSM.PutParameter", { Name: "/moxi/x", Value: "v", Type: "Secret" }),
      /Type is Secret, none of its values/,
    ],
    [
      "a parameter replaced and tagged",
      json("ssm", "AmazonSSM.PutParameter", {
        Name: "/moxi/x",
        Value: "v",
        Overwrite: true,
        Tags: [{ Key: "a", Value: "1" }],
      }),
      /Tags exclude Overwrite/,
    ],
    [
      "a price list without filter",
      json("pricing", "AWSPriceListService.GetProducts", { ServiceCode: "AmazonEC2" }),
      /no Filters/,
    ],
    [
      "an old version",
      query("sts", { Action: "GetCallerIdentity", Version: "2011-06-16" }),
      /Version must be/,
    ],
    [
      "a parameter that is none",
      query("sts", { Action: "GetCallerIdentity", Version: "2011-06-15", Role: "x" }),
      /unknown parameter Role/,
    ],
    [
      "a list from two",
      query("iam", {
        Action: "SimulatePrincipalPolicy",
        Version: "2010-05-08",
        PolicySourceArn: "arn:aws:iam::123456789012:role/moxi",
        "ActionNames.member.2": "s3:GetObject",
      }),
      /ActionNames is missing/,
    ],
    [
      "user data as it is",
      query("ec2", {
        Action: "RunInstances",
        Version: "2016-11-15",
        MinCount: "1",
        MaxCount: "1",
        UserData: "#!/bin/sh",
      }),
      /not in base64/,
    ],
    [
      "a count that is none",
      query("ec2", {
        Action: "RunInstances",
        Version: "2016-11-15",
        MinCount: "one",
        MaxCount: "1",
      }),
      /MinCount is no whole number/,
    ],
    [
      "a header that is none",
      s3("PUT", "/bucket/key", { "x-amz-storage-klass": "STANDARD" }),
      /unknown header x-amz-storage-klass/,
    ],
    [
      "a storage class",
      s3("PUT", "/bucket/key", { "x-amz-storage-class": "FAST" }),
      /StorageClass is FAST/,
    ],
    ["a condition", s3("PUT", "/bucket/key", { "if-none-match": "abc" }), /If-None-Match must be/],
    [
      "a condition where there is none",
      s3("PUT", "/bucket/key?partNumber=1&uploadId=u", { "if-none-match": "*" }),
      /unknown header if-none-match/,
    ],
    [
      "a query that is none",
      s3("GET", "/bucket?list-type=2&start=a"),
      /unknown query parameter start/,
    ],
    ["part 0", s3("PUT", "/bucket/key?partNumber=0&uploadId=u"), /PartNumber must be 1/],
    [
      "a checksum",
      s3("PUT", "/bucket/key", { "x-amz-checksum-crc32": "deadbeef" }),
      /base64 of four bytes/,
    ],
    ["a bucket's name", s3("PUT", "/Bucket_1/key"), /no bucket's name/],
    ["a long key", s3("PUT", `/bucket/${"k".repeat(1025)}`), /Key has/],
    ["a range", s3("GET", "/bucket/key", { range: "bytes=9-1" }), /Range is no range/],
    [
      "parts out of order",
      s3("POST", "/bucket/key?uploadId=u", {}, complete(2, 1)),
      /out of order/,
    ],
    ["no parts", s3("POST", "/bucket/key?uploadId=u", {}, complete()), /no parts/],
    [
      "an element that is none",
      s3("POST", "/bucket/key?uploadId=u", {}, complete(1).replaceAll("ETag", "Etag")),
      /unknown element <Etag>/,
    ],
    ["another operation's name", s3("PUT", "/bucket/key?x-id=UploadPart"), /x-id says UploadPart/],
    ["an unsigned body in clear", { ...s3("PUT", "/bucket/key"), secure: false }, /without TLS/],
    [
      "a header that is not signed",
      {
        ...s3("PUT", "/bucket/key", { "x-amz-meta-a": "1" }),
        headers: { ...s3("PUT", "/bucket/key").headers, "x-amz-meta-a": "1" },
      },
      /x-amz-meta-a is not signed/,
    ],
  ];
  test.for(wrong)("%s", ([, each, words]) => {
    expect(check(each).join("\n")).toMatch(words);
  });
});

interface Report {
  readonly testResults: readonly {
    readonly assertionResults: readonly {
      readonly title: string;
      readonly status: string;
      readonly failureMessages: readonly string[];
    }[];
  }[];
}

describe("every request is seen, and a wrong one fails:", () => {
  let server: Server;
  let recording: Recording;
  let port: number;
  beforeAll(async () => {
    server = createServer((incoming, response) =>
      incoming.resume().on("end", () => response.end("{}")),
    );
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    port = (server.address() as AddressInfo).port;
    recording = startRecording();
  });
  afterAll(() => {
    recording.end();
    server.close();
  });

  const code = (name: string) => `
    const { request } = require("node:http");
    const headers = { authorization: ${JSON.stringify(signed("sagemaker"))}, "content-type": "application/x-amz-json-1.1", "x-amz-target": "SageMaker.DescribeTrainingJob" };
    const sent = request({ port: ${port}, method: "POST", headers, agent: false }, (answer) => answer.resume());
    sent.end(${JSON.stringify(JSON.stringify({ TrainingJobName: name }))});`;
  const ways: Record<string, (text: string) => Promise<unknown>> = {
    "from a process": (text) => promisify(execFile)(process.execPath, ["-e", text]),
    "from a worker thread": (text) =>
      new Promise((done) => new Worker(text, { eval: true }).on("exit", done)),
  };
  test.for(Object.entries(ways))("%s", async ([, run]) => {
    await run(code("fine"));
    const seen = recording.take();
    expect(seen).toHaveLength(1);
    demandValid(seen);
    await run(code("not fine"));
    expect(() => demandValid(recording.take())).toThrow(
      /AWS would refuse this:\n.*TrainingJobName does not match/,
    );
    expect(recording.take()).toEqual([]);
  });

  test("in a test: the one that sent it fails, and no other", async () => {
    const root = resolve(import.meta.dirname, "../..");
    const vitest = resolve(root, "node_modules/vitest/vitest.mjs");
    const args = [vitest, "run", "--config", "test/contract/fixtures/vitest.config.ts"];
    const folder = await mkdtemp(join(tmpdir(), "moxi-contract-test-"));
    const report = join(folder, "report.json");
    const env = { PATH: process.env["PATH"], HOME: process.env["HOME"] };
    const run = promisify(execFile)(
      process.execPath,
      [...args, "--reporter=json", `--outputFile.json=${report}`],
      { cwd: root, env },
    );
    await expect(run).rejects.toMatchObject({ code: 1 });
    const { testResults } = JSON.parse(await readFile(report, "utf8")) as Report;
    await rm(folder, { recursive: true });
    const ended = testResults.flatMap(({ assertionResults }) => assertionResults);
    expect(ended.map(({ title, status }) => `${title}: ${status}`).sort()).toEqual([
      "a right request: passed",
      "a wrong request: failed",
    ]);
    const why = ended.flatMap(({ failureMessages }) => failureMessages).join("\n");
    expect(why).toContain("s3 PutObject: StorageClass is FAST, none of its values");
  });
});
