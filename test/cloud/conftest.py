"""A cloud for the tests, and an account in it that is set up as a user's would be."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from account import ALL, BUCKET, IMAGE, KIND, Account

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def cloud(tmp_path_factory):
    node = HERE.parents[1] / "node_modules/.bin/node"
    server = subprocess.Popen(
        [
            sys.executable,
            str(HERE / "server.py"),
            *("--node", str(node), "--image", f"{IMAGE}={sys.executable}"),
            *("--folder", str(tmp_path_factory.mktemp("containers")), "--grace", "2"),
        ],
        stdout=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
    )
    try:
        told = json.loads(server.stdout.readline())
        made = Account(told["endpoint"], told["accessKeyId"], told["secretAccessKey"])
        made.client("s3").create_bucket(Bucket=BUCKET)
        made.order("quota", name=f"{KIND} for training job usage", value=100)
        made.order("quota", name=f"{KIND} for spot training job usage", value=100)
        made.order("quota", name="Number of instances across all training jobs", value=100)
        made.role("trainer", ALL)
        yield made
    finally:
        server.terminate()
        server.wait(10)
        server.stdout.close()


@pytest.fixture
def submit(cloud, request):
    """Submits a job that runs a Python script; returns its name."""
    count = 0

    def run(script: str, user=None, **changes) -> str:
        nonlocal count
        count += 1
        words = "".join(c if c.isalnum() else "-" for c in request.node.name)[:50].strip("-")
        name = f"{words}-{count}"
        cloud.client("s3").put_object(
            Bucket=BUCKET, Key=f"moxi/code/{name}/main.py", Body=script.encode()
        )
        asked = {
            "TrainingJobName": name,
            "RoleArn": "arn:aws:iam::123456789012:role/trainer",
            "AlgorithmSpecification": {
                "TrainingImage": IMAGE,
                "TrainingInputMode": "File",
                "ContainerEntrypoint": ["python3", "-u", "/opt/ml/input/data/moxi/main.py"],
            },
            "InputDataConfig": [
                {
                    "ChannelName": "moxi",
                    "DataSource": {
                        "S3DataSource": {
                            "S3DataType": "S3Prefix",
                            "S3Uri": f"s3://{BUCKET}/moxi/code/{name}/",
                        }
                    },
                }
            ],
            "OutputDataConfig": {
                "S3OutputPath": f"s3://{BUCKET}/moxi/models",
                "CompressionType": "NONE",
            },
            "ResourceConfig": {"InstanceType": KIND, "InstanceCount": 1, "VolumeSizeInGB": 30},
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
            **changes,
        }
        (user or cloud).client("sagemaker").create_training_job(**asked)
        return asked["TrainingJobName"]

    return run
