import { isMoxiError, MoxiError, systemCode, toMoxiError } from "../base/errors.ts";
import type { ErrorCode } from "../base/errors.ts";
import { printable } from "../base/format.ts";
import type { AwsSettings } from "./settings.ts";

export interface Doing {
  /** What was tried, after "cannot": "read s3://bucket/key". */
  readonly doing: string;
  /** Where the credentials came from, in words. */
  readonly credentials?: string;
  readonly settings?: Pick<AwsSettings, "region" | "regionFrom" | "profile">;
}

/** What the SDK and our own requests throw, as far as it is looked at. */
interface Failure {
  readonly name: string;
  readonly message: string;
  readonly status: number | undefined;
  readonly region: string | undefined;
  /** The underlying system error ("ECONNRESET", "ENOTFOUND" ...). */
  readonly system: string | undefined;
  /** The error that carries it, at any depth of causes. */
  readonly systemError: unknown;
}

/**
 * Turns whatever a request to AWS has thrown into a MoxiError: the one place that knows AWS's error
 * names. Errors that are ours already pass.
 */
export function translate(error: unknown, context: Doing): MoxiError {
  if (isMoxiError(error)) return error;
  const failure = look(error);
  // A full disk, a file that may not be read: no word of AWS's.
  if (
    failure.status === undefined &&
    /^(ENOSPC|EDQUOT|EACCES|EPERM|EROFS)$/.test(failure.system ?? "")
  ) {
    return toMoxiError(failure.systemError);
  }
  const { code, why, hint } = judge(failure, context);
  return new MoxiError(code, `cannot ${context.doing}: ${printable(why)}`, { hint, cause: error });
}

interface Verdict {
  readonly code: ErrorCode;
  readonly why: string;
  readonly hint: string;
}

/** For errors that AWS names; the names are those of several services. */
const named: readonly (readonly [RegExp, ErrorCode, string])[] = [
  [
    /^(ExpiredToken|ExpiredTokenException|TokenRefreshRequired|RequestExpired|SSOTokenProviderFailure)$/,
    "E_AWS_EXPIRED",
    "",
  ],
  [
    /^(InvalidAccessKeyId|InvalidClientTokenId|UnrecognizedClientException|InvalidToken|AuthFailure)$/,
    "E_AWS_CREDENTIALS",
    "AWS does not know this access key: make a new one, or correct it",
  ],
  [
    /^(SignatureDoesNotMatch|InvalidSignatureException|IncompleteSignature)$/,
    "E_AWS_CREDENTIALS",
    "the secret key does not belong to the access key: copy both again",
  ],
  [
    /^(CredentialsProviderError|NoCredentialsError|TokenProviderError)$/,
    "E_AWS_CREDENTIALS",
    "aws configure sso, then AWS_PROFILE=<profile> in .env; or AWS_ACCESS_KEY and AWS_SECRET_KEY in .env",
  ],
  [
    /^(AccessDenied|AccessDeniedException|UnauthorizedOperation|UnauthorizedAccess|Forbidden|AllAccessDisabled|KMS\.?AccessDenied.*|NotAuthorized)$/,
    "E_AWS_DENIED",
    "let somebody who manages the account allow it",
  ],
  [
    /^(RequestTimeTooSkewed|RequestInTheFuture)$/,
    "E_AWS_CLOCK",
    "this machine's clock is wrong: set it, for example by timedatectl set-ntp true",
  ],
  [
    /^(PermanentRedirect|AuthorizationHeaderMalformed|IllegalLocationConstraintException|TemporaryRedirect|IncorrectEndpoint)$/,
    "E_AWS_REGION",
    "",
  ],
  [
    /^(NoSuchBucket)$/,
    "E_S3_BUCKET",
    "correct the bucket's name, or make it: aws s3 mb s3://<bucket>",
  ],
  [
    /^(NoSuchUpload)$/,
    "E_S3_UPLOAD_GONE",
    "something has removed the parts, perhaps a lifecycle rule: run the same command again",
  ],
  [
    /^(NoSuchKey|NotFound|ResourceNotFound|ResourceNotFoundException|NoSuchEntity|ParameterNotFound|RepositoryNotFoundException|ImageNotFoundException)$/,
    "E_AWS_NOT_FOUND",
    "look for a mistyped name, and whether AWS_REGION is right",
  ],
  [
    /^(PreconditionFailed|ConditionalRequestConflict)$/,
    "E_S3_CHANGED",
    "somebody else writes there at the same time: run the same command again",
  ],
  [
    /^(BadDigest|XAmzContentChecksumMismatch|XAmzContentSHA256Mismatch|InvalidDigest|ChecksumMismatch)$/,
    "E_S3_CHECKSUM",
    "bytes were changed on the way, by a proxy or bad memory: run the same command again",
  ],
  [
    /^(SlowDown|Throttling|ThrottlingException|ThrottledException|TooManyRequestsException|TooManyRequests|RequestLimitExceeded|RequestThrottled|RequestThrottledException|ProvisionedThroughputExceededException|BandwidthLimitExceeded)$/,
    "E_AWS_THROTTLED",
    "AWS asks for fewer requests: wait a minute, then run the same command again",
  ],
  [
    /^(InsufficientInstanceCapacity|InsufficientCapacity|InsufficientHostCapacity|InsufficientReservedInstanceCapacity|UnfulfillableCapacity|CapacityError)$/,
    "E_AWS_CAPACITY",
    "choose another instance type or region, or try again later",
  ],
  [
    /^(ResourceLimitExceeded|LimitExceeded|LimitExceededException|ServiceQuotaExceededException|VcpuLimitExceeded|InstanceLimitExceeded|MaxSpotInstanceCountExceeded|TooManyBuckets)$/,
    "E_AWS_QUOTA",
    "ask for more: AWS console, Service Quotas",
  ],
  [
    /^(InternalError|InternalServerError|InternalFailure|InternalServiceException|ServiceUnavailable|ServiceUnavailableException|ServiceException|RequestTimeout|RequestTimeoutException|OperationAborted)$/,
    "E_AWS_UNAVAILABLE",
    "AWS had trouble, also when it was asked again: run the same command later",
  ],
];

const networkCodes =
  /^(ECONN\w+|E(PIPE|HOSTUNREACH|NETUNREACH|NETDOWN|NOTFOUND|AI_AGAIN|TIMEDOUT|PROXY)|TimeoutError|AbortError)$/;
const tlsCodes =
  /^(SELF_SIGNED_CERT\w*|DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO_\w+|CERT_\w+|ERR_TLS_CERT\w*|HOSTNAME_MISMATCH|ERR_SSL_\w+|EPROTO)$/;

function judge(failure: Failure, context: Doing): Verdict {
  const { name, status, system } = failure;
  const message = failure.message.replace(/\s+/g, " ").replace(/\.$/, "").trim();
  const why = message === "" || message === "UnknownError" ? name : message;

  if (system !== undefined && tlsCodes.test(system)) {
    const hint =
      "behind a company proxy, set AWS_CA_BUNDLE to the PEM file with its certificate authority";
    return { code: "E_TLS", why: `the certificate is not trusted (${system})`, hint };
  }
  if ((system !== undefined && networkCodes.test(system)) || networkCodes.test(name)) {
    const hint =
      "check the network, HTTPS_PROXY and AWS_ENDPOINT_URL, then run the same command again";
    return { code: "E_NETWORK", why, hint };
  }
  // The SDK tells an SSO session that has run out in words only.
  const expired = /(SSO (session|token)|token).{0,80}(expired|invalid|not found)/i;
  if (/^(CredentialsProviderError|TokenProviderError)$/.test(name) && expired.test(message)) {
    return { code: "E_AWS_EXPIRED", why, hint: signInHint(context) };
  }
  const match = named.find(([pattern]) => pattern.test(name));
  if (match !== undefined) {
    const [, code, hint] = match;
    if (code === "E_AWS_EXPIRED") {
      const from = context.credentials === undefined ? "" : ` from ${context.credentials}`;
      return { code, why: `the credentials${from} have expired`, hint: signInHint(context) };
    }
    if (code === "E_AWS_REGION") return regionVerdict(failure, why, context);
    return { code, why, hint };
  }
  if (status === 301 || status === 307) return regionVerdict(failure, why, context);
  if (status === 401 || status === 403) {
    return { code: "E_AWS_DENIED", why, hint: "let somebody who manages the account allow it" };
  }
  if (status === 404) {
    return {
      code: "E_AWS_NOT_FOUND",
      why,
      hint: "look for a mistyped name, and whether AWS_REGION is right",
    };
  }
  if (status === 412) {
    return { code: "E_S3_CHANGED", why, hint: "run the same command again" };
  }
  if (status === 429)
    return { code: "E_AWS_THROTTLED", why, hint: "wait a minute, then run the same command again" };
  // 501: what it does not know now it will not know later.
  if (status !== undefined && status >= 500 && status !== 501) {
    return {
      code: "E_AWS_UNAVAILABLE",
      why,
      hint: "AWS had trouble, also when it was asked again: run the same command later",
    };
  }
  if (status !== undefined) {
    return {
      code: "E_AWS_REFUSED",
      why: `AWS refused the request (${status} ${name}): ${why}`,
      hint: "if nothing in the config explains it, this is a bug in Moxi; MOXI_DEBUG=1 shows more",
    };
  }
  return {
    code: "E_INTERNAL",
    why,
    hint: "this is a bug in Moxi; MOXI_DEBUG=1 shows the stack trace",
  };
}

function signInHint({ settings, credentials }: Doing): string {
  if (settings?.profile !== undefined) {
    return `sign in again (aws sso login --profile ${settings.profile}), or renew that profile's keys; then run the same command`;
  }
  return credentials?.startsWith("AWS_")
    ? `put new keys (and AWS_SESSION_TOKEN) where ${credentials} is set; then run the same command`
    : "sign in again (aws sso login, or new keys in .env); then run the same command";
}

function regionVerdict({ region }: Failure, why: string, { settings }: Doing): Verdict {
  const here = settings === undefined ? "" : `, not ${settings.region}`;
  return region === undefined
    ? { code: "E_AWS_REGION", why, hint: "set AWS_REGION to the bucket's region" }
    : {
        code: "E_AWS_REGION",
        why: `it is in ${region}${here}`,
        hint: `set AWS_REGION=${region}, or use a bucket in ${settings?.region ?? "your region"}`,
      };
}

/** Looks at an unknown error without trusting its shape. */
function look(error: unknown): Failure {
  const one = (typeof error === "object" && error !== null ? error : {}) as Record<string, unknown>;
  const metadata = (one["$metadata"] ?? {}) as { httpStatusCode?: number };
  const response = (one["$response"] ?? {}) as { headers?: Record<string, string> };
  const text = (value: unknown) => (typeof value === "string" && value !== "" ? value : undefined);
  const message = error instanceof Error ? error.message : String(error);
  const region =
    text(one["Region"]) ??
    response.headers?.["x-amz-bucket-region"] ??
    /expecting '([a-z0-9-]+)'/.exec(message)?.[1];
  let systemError = error;
  while (systemCode(systemError) === undefined && systemError instanceof Error) {
    systemError = systemError.cause;
  }
  return {
    name: text(one["Code"]) ?? text(one["name"]) ?? "Error",
    message,
    status: metadata.httpStatusCode,
    region,
    system: systemCode(systemError),
    systemError,
  };
}
