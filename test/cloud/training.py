"""SageMaker's training jobs: what the service promises of them, with real processes inside.

BEHAVIOUR.md has a rule for everything that is done here, and where AWS says it.
"""

import tarfile
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import ClientError

from container import Container
from identity import ACCOUNT, Identities, Session, parsed, role
from images import Images
from judge import Judge
from logs import LogStream
from quotas import ALL_JOBS, ALL_SPOT_JOBS, LONGEST, SPOT, TRAINING, Quotas
from storage import JobStorage, split
from wire import AwsError, check

TERMINAL = {"Completed", "Failed", "Stopped"}
SPOT_SHARE = 0.3  # of the time that is billed on spot: an example, AWS promises no number
NOT_DESCRIBED = ("Tags",)


@dataclass
class Settings:
    """Seconds. `pace`: that a step of the service takes. `grace`: between SIGTERM and SIGKILL.

    `log_delay`: from a line to CloudWatch; None for the pace.
    """

    pace: float = 0.05
    grace: float = 120.0
    log_delay: float | None = None


@dataclass
class Capacity:
    """Instance types that cannot be had: how many more starts each refuses."""

    missing: dict[str, int] = field(default_factory=dict)

    def take(self, kind: str) -> bool:
        left = self.missing.get(kind, 0)
        if left:
            self.missing[kind] = left - 1
        return not left


class Job:
    """One training job, and the thread that carries it out."""

    def __init__(self, service: "Training", request: dict, region: str) -> None:
        self.service, self.request, self.region = service, request, region
        self.name = request["TrainingJobName"]
        self.arn = f"arn:aws:sagemaker:{region}:{ACCOUNT}:training-job/{self.name}"
        self.tags = list(request.get("Tags", []))
        self.status, self.secondary = "InProgress", ""
        self.transitions: list[dict] = []
        self.created = self.modified = datetime.now(UTC)
        self.started = self.ended = None
        self.failure: str | None = None
        self.kind = request["ResourceConfig"].get("InstanceType", "")
        self.chosen = False  # out of InstancePreferences
        self.spot = bool(request.get("EnableManagedSpotTraining"))
        self._trained = 0.0
        self._stop, self._interrupt = threading.Event(), threading.Event()
        self._container: Container | None = None
        self._session: Session | None = None
        self.storage = JobStorage(service.endpoint, region, self.credentials)
        self._turn("Starting", "Starting the training job")
        self._thread = threading.Thread(target=self._run, daemon=True)

    def begin(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        if self.status == "InProgress":
            self.status = "Stopping"
            self._stop.set()

    def kill(self) -> bool:
        """Every process in the container ends at once; False where none runs."""
        return self._container is not None and self._container.kill()

    def interrupt(self) -> None:
        """The spot instance is taken away."""
        self._interrupt.set()

    def join(self) -> None:
        self._thread.join()

    def close(self) -> None:
        """The whole cloud ends."""
        if self._container is not None and self.status not in TERMINAL:
            self._container.kill()

    def describe(self) -> dict[str, Any]:
        told = {key: value for key, value in self.request.items() if key not in NOT_DESCRIBED}
        told |= {
            "TrainingJobArn": self.arn,
            "TrainingJobStatus": self.status,
            "SecondaryStatus": self.secondary,
            "SecondaryStatusTransitions": self.transitions,
            "CreationTime": self.created,
            "LastModifiedTime": self.modified,
            "ModelArtifacts": {"S3ModelArtifacts": self._model_uri()},
            "EnableManagedSpotTraining": self.spot,
        }
        if self.chosen:
            told["ResourceConfig"] = {
                **told["ResourceConfig"],
                "SelectedInstanceType": self.kind,
                "SelectedInstanceCount": 1,
            }
        if self.started is not None:
            told["TrainingStartTime"] = self.started
        if self.ended is not None:
            told["TrainingEndTime"] = self.ended
        if self.started is not None and self.ended is not None:
            told["TrainingTimeInSeconds"] = round(self._trained)
            told["BillableTimeInSeconds"] = round(self._trained * (SPOT_SHARE if self.spot else 1))
            told |= self._warm_pool()
        if self.failure is not None:
            told["FailureReason"] = self.failure[:1024]
        return told

    def _warm_pool(self) -> dict[str, Any]:
        """The machine stays for as long as was asked for, and is paid for."""
        asked = self.request["ResourceConfig"].get("KeepAlivePeriodInSeconds")
        if asked is None:
            return {}
        kept = min(asked, round((datetime.now(UTC) - self.ended).total_seconds()))
        status = "Terminated" if kept == asked else "Available"
        return {"WarmPoolStatus": {"Status": status, "ResourceRetainedBillableTimeInSeconds": kept}}

    def summary(self) -> dict[str, Any]:
        told = {
            "TrainingJobName": self.name,
            "TrainingJobArn": self.arn,
            "CreationTime": self.created,
            "LastModifiedTime": self.modified,
            "TrainingJobStatus": self.status,
            "SecondaryStatus": self.secondary,
        }
        return told | ({"TrainingEndTime": self.ended} if self.ended else {})

    def credentials(self) -> Session:
        if self._session is None:
            identities = self.service.identities
            self._session = identities.assume(
                self.request["RoleArn"], f"SageMaker-{self.name}"[:64], 86_400
            )
        return self._session

    def _turn(self, secondary: str, message: str) -> None:
        now = datetime.now(UTC)
        if self.transitions:
            self.transitions[-1]["EndTime"] = now
        self.transitions.append({"Status": secondary, "StartTime": now, "StatusMessage": message})
        self.secondary, self.modified = secondary, now

    def _end(self, status: str, secondary: str, message: str, failure: str | None = None) -> None:
        self.failure = failure
        self.ended = datetime.now(UTC)
        self._turn(secondary, message)
        self.transitions[-1]["EndTime"] = self.ended
        self.status = status

    def _pause(self) -> None:
        self._stop.wait(self.service.settings.pace)

    def _run(self) -> None:
        try:
            while not self._once():
                self._turn("Interrupted", "Instance interrupted by EC2 Spot, waiting for capacity")
                self._pause()
                self._turn("Starting", "Starting the training job again")
        except (ClientError, S3UploadFailedError) as error:
            self._end("Failed", "Failed", "Training job failed", f"ClientError: {error}")
        except Exception:  # AWS's words for what it does not explain
            self.service.bugs.append(f"{self.name}: {traceback.format_exc()}")
            message = "InternalServerError: We encountered an internal error.  Please try again."
            self._end("Failed", "Failed", "Training job failed", message)

    def _once(self) -> bool:
        """One instance's life. False when it was taken away."""
        self._pause()
        if self._stop.is_set():
            self._end("Stopped", "Stopped", "Training job stopped")
            return True
        if not self._get_capacity():
            self._end(
                "Failed",
                "Failed",
                "Training job failed",
                "CapacityError: Unable to provision requested ML compute capacity. "
                "Please retry using a different ML instance type.",
            )
            return True
        image = self.service.images.find(self.request["AlgorithmSpecification"]["TrainingImage"])
        if image is None or image.python is None:
            uri = self.request["AlgorithmSpecification"]["TrainingImage"]
            self._end(
                "Failed", "Failed", "Training job failed", f"ClientError: Cannot find image {uri}"
            )
            return True
        self._interrupt.clear()
        begun = time.monotonic()
        life = f"{self.name}-{len(self.transitions)}"
        container = self._container = Container(image, self.service.folder / life)
        self.started = self.started or datetime.now(UTC)
        self._turn("Downloading", "Downloading the training input data")
        container.prepare(self.request, self.kind)
        for channel in self.request.get("InputDataConfig", []):
            place = container.root / "input/data" / channel["ChannelName"]
            self.storage.download(channel["DataSource"]["S3DataSource"]["S3Uri"], place)
        checkpoints, synced = self._checkpoints(container), {}
        if checkpoints is not None:
            self.storage.download(checkpoints[1], checkpoints[0])
        self._turn("Training", "Training image download completed. Training in progress.")
        stream = LogStream(
            self.storage.client("logs"),
            f"{self.name}/algo-1-{int(time.time() * 1000)}",
            self.service.settings.log_delay or self.service.settings.pace,
        )
        container.start(self.request, self._environment(), self._ear(stream))
        code, reason = self._watch(container, checkpoints, synced, begun)
        stream.close()
        if reason == "interrupted":
            self._trained += time.monotonic() - begun
            return False
        self._turn("Uploading", "Uploading generated training model")
        if checkpoints is not None:
            self.storage.upload(checkpoints[0], checkpoints[1], synced)
        if code == 0 or reason != "":
            self._upload_model(container.root / "model")
        self._pause()
        self._trained += time.monotonic() - begun
        if reason == "stopped":
            self._end("Stopped", "Stopped", "Training job stopped")
        elif reason == "limit":
            self._end(
                "Stopped",
                "MaxRuntimeExceeded",
                "Training job runtime exceeded MaxRuntimeInSeconds provided",
            )
        elif code == 0:
            self._end("Completed", "Completed", "Training job completed")
        else:
            why = container.failure()
            told = (
                f"AlgorithmError: {why}, exit code: {code}"
                if why
                else f"AlgorithmError: , exit code: {code}"
            )
            self._end("Failed", "Failed", "Training job failed", told)
        return True

    def _ear(self, stream: LogStream) -> Callable[[bytes], None]:
        """Takes what the container prints, and interrupts where an order says so."""
        orders = self.service.interruptions.get(self.name, [])

        def hear(line: bytes) -> None:
            stream.write(line)
            if orders and orders[0].encode() in line:
                orders.pop(0)
                self._interrupt.set()

        return hear

    def _watch(
        self, container: Container, checkpoints, synced: dict, begun: float
    ) -> tuple[int, str]:
        """Until the container ends: its exit code and why: "", stopped, limit, interrupted."""
        settings = self.service.settings
        limit = self.request["StoppingCondition"].get("MaxRuntimeInSeconds", 86_400)
        reason, kill_at = "", None
        while (code := container.wait(settings.pace)) is None:
            now = time.monotonic()
            if self._interrupt.is_set():
                container.kill()
                container.wait(10)
                return 137, "interrupted"
            if checkpoints is not None:
                self.storage.upload(checkpoints[0], checkpoints[1], synced)
            if kill_at is None:
                if self._stop.is_set():
                    reason = "stopped"
                elif self._trained + now - begun > limit:
                    reason = "limit"
                if reason:
                    self._turn("Stopping", "Stopping the training job")
                    container.terminate()
                    kill_at = now + settings.grace
            elif now > kill_at:
                container.kill()
        return code, reason

    def _checkpoints(self, container: Container) -> tuple[Path, str] | None:
        config = self.request.get("CheckpointConfig")
        if config is None:
            return None
        inside = config.get("LocalPath", "/opt/ml/checkpoints").rstrip("/")
        folder = container.root / inside.removeprefix("/opt/ml").lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
        return folder, config["S3Uri"]

    def _environment(self) -> dict[str, str]:
        """The container asks an address for its role's credentials, as on the real service."""
        credentials = f"{self.service.endpoint}/_credentials/{self.credentials().key}"
        return {
            "TRAINING_JOB_NAME": self.name,
            "TRAINING_JOB_ARN": self.arn,
            "AWS_REGION": self.region,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": credentials,
            "AWS_ENDPOINT_URL": self.service.endpoint,
        }

    def _get_capacity(self) -> bool:
        preferences = self.request["ResourceConfig"].get("InstancePreferences", [])
        kinds = [each["InstanceType"] for each in preferences] or [self.kind]
        for kind in kinds:
            if self.service.capacity.take(kind):
                self.kind, self.chosen = kind, bool(preferences)
                return True
        return False

    def _model_uri(self) -> str:
        output = self.request["OutputDataConfig"]
        packed = output.get("CompressionType", "GZIP") == "GZIP"
        name = "model.tar.gz" if packed else "model/"
        return f"{output['S3OutputPath'].rstrip('/')}/{self.name}/output/{name}"

    def _upload_model(self, model: Path) -> None:
        uri = self._model_uri()
        if uri.endswith("/"):
            self.storage.upload(model, uri, {})
            return
        packed = model.parent / "packed"
        packed.mkdir()
        with tarfile.open(packed / "model.tar.gz", "w:gz") as archive:
            archive.add(model, arcname=".")
        self.storage.upload(packed, uri.rpartition("/")[0], {})


class Training:
    """The service: its jobs, its rules and its state."""

    def __init__(
        self,
        identities: Identities,
        judge: Judge,
        images: Images,
        quotas: Quotas,
        look: Callable[[Session, str, str, str], bool],
        folder: Path,
        endpoint: str,
        settings: Settings,
    ) -> None:
        self.identities, self.judge, self.images, self.quotas = identities, judge, images, quotas
        self.look = look
        self.folder, self.endpoint, self.settings = folder, endpoint, settings
        self.capacity = Capacity()
        self.interruptions: dict[str, list[str]] = {}  # a job's name -> what it prints before each
        self.jobs: dict[str, Job] = {}
        self.hidden: dict[str, int] = {}  # how many more reads a new job is not found by
        self.lag = 0
        self.bugs: list[str] = []
        self._lock = threading.Lock()

    def answer(self, operation: str, values: dict, region: str) -> dict:
        check("sagemaker", operation, values)
        match operation:
            case "CreateTrainingJob":
                return {"TrainingJobArn": self._create(values, region).arn}
            case "DescribeTrainingJob":
                return self._job(values, reading=True).describe()
            case "StopTrainingJob":
                self._stop(self._job(values))
                return {}
            case "ListTrainingJobs":
                return self._list(values)
            case "ListTags":
                return {"Tags": self._by_arn(values["ResourceArn"]).tags}
            case "AddTags":
                return {"Tags": self._tag(self._by_arn(values["ResourceArn"]), values["Tags"])}
        raise AwsError("UnknownOperationException", f"{operation} is not known here")

    def close(self) -> None:
        for job in self.jobs.values():
            job.close()

    def _create(self, values: dict, region: str) -> Job:
        with self._lock:
            name = values["TrainingJobName"]
            if name in self.jobs:
                raise AwsError(
                    "ResourceInUse",
                    "Training job names must be unique within an AWS account and region, and a "
                    "training job with "
                    f"this name already exists ({self.jobs[name].arn})",
                )
            _refuse_contradictions(values)
            self._refuse_role(values["RoleArn"])
            self._refuse_quota(values)
            job = Job(self, values, region)
            for channel in values.get("InputDataConfig", []):
                self._refuse_input(job, channel["DataSource"]["S3DataSource"]["S3Uri"])
            self.jobs[name] = job
            self.hidden[name] = self.lag
        job.begin()
        return job

    def _job(self, values: dict, reading: bool = False) -> Job:
        name = values["TrainingJobName"]
        job = self.jobs.get(name)
        if job is not None and reading and self.hidden[name] > 0:
            self.hidden[name] -= 1
            job = None
        if job is None:
            raise AwsError("ValidationException", "Requested resource not found.")
        return job

    def _by_arn(self, arn: str) -> Job:
        return self._job({"TrainingJobName": arn.rpartition("/")[2]})

    def _tag(self, job: Job, tags: list) -> list:
        kept = [tag for tag in job.tags if tag["Key"] not in {each["Key"] for each in tags}]
        job.tags = kept + tags
        return job.tags

    def _stop(self, job: Job) -> None:
        if job.status in TERMINAL:
            raise AwsError(
                "ValidationException",
                f"The request was rejected because the training job is in status {job.status}.",
            )
        job.stop()

    def _list(self, values: dict) -> dict:
        jobs = sorted(self.jobs.values(), key=lambda job: (job.created, job.name))
        if values.get("SortOrder", "Descending") == "Descending":
            jobs.reverse()
        jobs = [job for job in jobs if values.get("NameContains", "") in job.name]
        start, size = int(values.get("NextToken") or 0), values.get("MaxResults", 10)
        page, wanted = jobs[start : start + size], values.get("StatusEquals")
        told = {
            # AWS takes the page first and looks at the status afterwards.
            "TrainingJobSummaries": [
                job.summary() for job in page if wanted is None or job.status == wanted
            ]
        }
        return told | ({"NextToken": str(start + size)} if start + size < len(jobs) else {})

    def _refuse_role(self, arn: str) -> None:
        found = role(arn)
        trust = found and found.assume_role_policy_document
        if trust is None or not self.judge.trusts(arn, parsed(trust), "sagemaker.amazonaws.com"):
            raise AwsError(
                "ValidationException",
                f"Could not assume role {arn}. Please ensure that the role exists and allows "
                "principal "
                "'sagemaker.amazonaws.com' to assume the role.",
            )

    def _refuse_input(self, job: Job, uri: str) -> None:
        try:
            if self.look(job.credentials(), job.region, *split(uri)):
                return
            code = "NoSuchKey"
        except AwsError as error:
            code = error.code
        raise AwsError(
            "ValidationException",
            f'No S3 objects found under S3 URL "{uri}" given in input data source. Please ensure '
            "that the bucket "
            f"exists in the selected region ({job.region}), that objects exist under that S3 "
            "prefix, and that the "
            f'role "{job.request["RoleArn"]}" has "s3:ListBucket" permissions on the bucket. '
            f"Error message from S3: {code}",
        )

    def _refuse_quota(self, values: dict) -> None:
        resources, spot = values["ResourceConfig"], bool(values.get("EnableManagedSpotTraining"))
        wanted = resources.get("InstanceCount", 1)
        running = [
            job for job in self.jobs.values() if job.status not in TERMINAL and job.spot == spot
        ]
        kinds = [each["InstanceType"] for each in resources.get("InstancePreferences", [])]
        for kind in kinds or [resources.get("InstanceType", "")]:
            name = (SPOT if spot else TRAINING).format(kind)
            used = sum(job.kind == kind for job in running)
            self.quotas.refuse_excess(name, used, wanted)
        self.quotas.refuse_excess(ALL_SPOT_JOBS if spot else ALL_JOBS, len(running), wanted)
        limit = values["StoppingCondition"].get("MaxRuntimeInSeconds", 86_400)
        if limit > self.quotas.limit(LONGEST):
            raise AwsError(
                "ResourceLimitExceeded",
                f"The account-level service limit '{LONGEST}' is {self.quotas.limit(LONGEST):g} "
                "Seconds, "
                f"with a request of {limit} Seconds.",
            )


def _refuse_contradictions(values: dict) -> None:
    stopping, spot = values["StoppingCondition"], values.get("EnableManagedSpotTraining")
    longest, wait = (
        stopping.get("MaxRuntimeInSeconds", 86_400),
        stopping.get("MaxWaitTimeInSeconds"),
    )
    if spot and (wait is None or wait < longest):
        raise AwsError(
            "ValidationException",
            "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to "
            "MaxRuntimeInSeconds",
        )
    if not spot and wait is not None:
        raise AwsError(
            "ValidationException",
            "Invalid MaxWaitTimeInSeconds. It can only be specified when "
            "EnableManagedSpotTraining is true",
        )
    resources = values["ResourceConfig"]
    if resources.get("InstancePreferences") and ("InstanceType" in resources or spot):
        raise AwsError(
            "ValidationException",
            "InstancePreferences cannot be combined with InstanceType or managed spot training",
        )
    if ("AlgorithmName" in values["AlgorithmSpecification"]) == (
        "TrainingImage" in values["AlgorithmSpecification"]
    ):
        raise AwsError(
            "ValidationException", "Exactly one of AlgorithmName and TrainingImage must be given"
        )
