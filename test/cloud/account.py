"""An account in the test cloud, and what a test does in it."""

import json
import time
import urllib.request
from dataclasses import dataclass
from types import SimpleNamespace

import boto3
from botocore.config import Config

IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/rehearsal:1"
REGION, BUCKET, KIND = "us-east-1", "team-data", "ml.g5.2xlarge"


@dataclass
class Account:
    """A running server and its root's keys."""

    endpoint: str
    key: str
    secret: str

    def client(
        self,
        service: str,
        key: str | None = None,
        secret: str | None = None,
        token: str | None = None,
    ):
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=key or self.key,
            aws_secret_access_key=secret or self.secret,
            aws_session_token=token,
            config=Config(retries={"total_max_attempts": 1}),
        )

    def order(self, order: str, **given):
        request = urllib.request.Request(
            f"{self.endpoint}/_cloud/{order}", json.dumps(given).encode()
        )
        with urllib.request.urlopen(request) as answer:
            return json.loads(answer.read())

    def user(self, name: str, *statements: dict) -> SimpleNamespace:
        """A user with one policy; makes clients of their own."""
        iam = self.client("iam")
        iam.create_user(UserName=name)
        if statements:
            self.permit(name, *statements)
        made = iam.create_access_key(UserName=name)["AccessKey"]
        key, secret = made["AccessKeyId"], made["SecretAccessKey"]
        return SimpleNamespace(client=lambda service: self.client(service, key, secret), key=key)

    def permit(self, name: str, *statements: dict) -> None:
        document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        self.client("iam").put_user_policy(UserName=name, PolicyName="own", PolicyDocument=document)

    def role(self, name: str, *statements: dict, service: str = "sagemaker.amazonaws.com") -> str:
        trust = [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}]
        iam = self.client("iam")
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=_document(trust))["Role"][
            "Arn"
        ]
        if statements:
            iam.put_role_policy(
                RoleName=name, PolicyName="own", PolicyDocument=_document(list(statements))
            )
        return arn

    def finish(self, job: str, *, seconds: float = 30) -> dict:
        """Waits for the job's end; its description."""
        sagemaker = self.client("sagemaker")
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            told = sagemaker.describe_training_job(TrainingJobName=job)
            if told["TrainingJobStatus"] in ("Completed", "Failed", "Stopped"):
                return told
            time.sleep(0.05)
        raise AssertionError(f"{job} is still {told['SecondaryStatus']} after {seconds} s")

    def await_secondary(self, job: str, *wanted: str) -> None:
        sagemaker = self.client("sagemaker")
        until = time.monotonic() + 30
        while sagemaker.describe_training_job(TrainingJobName=job)["SecondaryStatus"] not in wanted:
            assert time.monotonic() < until
            time.sleep(0.02)

    def log(self, job: str) -> list[list[str]]:
        """The lines of each log stream of a job, in the order of the streams."""
        logs, group = self.client("logs"), "/aws/sagemaker/TrainingJobs"
        streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{job}/")[
            "logStreams"
        ]
        return [
            [
                event["message"]
                for event in logs.get_log_events(
                    logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True
                )["events"]
            ]
            for stream in sorted(streams, key=lambda each: each["logStreamName"])
        ]

    def has_log(self, job: str) -> bool:
        logs = self.client("logs")
        try:
            return bool(self.log(job))
        except logs.exceptions.ResourceNotFoundException:
            return False

    def await_line(self, job: str, line: str) -> None:
        until = time.monotonic() + 30
        while True:
            try:
                if any(line in stream for stream in self.log(job)):
                    return
            except self.client("logs").exceptions.ResourceNotFoundException:
                pass
            assert time.monotonic() < until, f"{line!r} never came"
            time.sleep(0.05)


ALL = {"Effect": "Allow", "Action": "*", "Resource": "*"}


def _document(statements: list[dict]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
