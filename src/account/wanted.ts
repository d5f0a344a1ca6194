/** What is known of a job before it has a plan: the real names, so that the checks ask about these. */
export interface Place {
  readonly region: string;
  readonly bucket: string;
  /** The role that the job runs as. */
  readonly roleArn: string;
  /** "ml.g5.2xlarge" */
  readonly instance: string;
  /** What may be taken instead; a quota for each is needed too. */
  readonly fallbacks?: readonly string[];
  readonly spot: boolean;
  /** The container image: "<account>.dkr.ecr.<region>.amazonaws.com/<repository>:<tag>". */
  readonly image: string;
  /** The job's name, as it will be submitted. */
  readonly job: string;
  /** The job reads a token, encrypted by this KMS key or by the account's own. */
  readonly secrets?: { readonly kmsKey: string | null };
  /** The machine is kept for the next job. */
  readonly warmPool?: boolean;
  /** Encrypts what is sent, the disk and what the job leaves: a KMS key's id, ARN or alias. */
  readonly kmsKey?: string | null;
}

/** What one training job asks of an account. */
export interface Wanted extends Place {
  /** How long the job may run, in seconds. */
  readonly maxSeconds: number;
  /** How long the machine is kept, and paid for, after it. */
  readonly keptSeconds?: number;
}

/** An image's address in its parts; undefined for one that is in no registry of AWS's. */
export function imageParts(
  image: string,
): { registry: string; region: string; repository: string; version: string } | undefined {
  const found =
    /^(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?\/([^:@]+)(?:@(sha256:[0-9a-f]{64})|:([\w.-]+))$/.exec(
      image,
    );
  if (found === null) return undefined;
  const [, registry, region, repository, digest, tag] = found;
  return {
    registry: registry!,
    region: region!,
    repository: repository!,
    version: (digest ?? tag)!,
  };
}

/** "arn:aws:iam::1:role/path/Name" -> "Name" */
export function roleName(arn: string): string {
  return arn.slice(arn.lastIndexOf("/") + 1);
}
