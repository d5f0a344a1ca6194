"""Reads secrets with the job's role: python -I read_parameters.py DESCRIPTOR WANTED

A process of its own, with boto3 of the locked layer: it alone sees the way to the role's
credentials. WANTED is [{name, parameter, region}] as JSON; {"values": {name: value}} or {"error":
"..."} goes to the descriptor, a pipe. It prints nothing: no library can tell a log what it read.
"""

import json
import os
import sys

TRIES = 6


def read(secret: dict) -> str:
    """One value. Raises RuntimeError that names parameter and permission, and holds no value."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    parameter, region = secret["parameter"], secret["region"]
    config = Config(
        connect_timeout=5,
        read_timeout=10,
        retries={"mode": "standard", "total_max_attempts": TRIES},
    )
    try:
        ssm = boto3.client("ssm", region_name=region, config=config)
        return ssm.get_parameter(Name=parameter, WithDecryption=True)["Parameter"]["Value"]
    except ClientError as error:
        told = error.response.get("Error", {})
        why = explain(told.get("Code", ""), told.get("Message", ""), region)
    except BotoCoreError as error:
        why = f"{type(error).__name__}: {error}"
    raise RuntimeError(f"{secret['name']} could not be read from {parameter}: {why}")


def explain(code: str, message: str, region: str) -> str:
    """What is missing, before AWS's own words."""
    if code == "ParameterNotFound":
        return (
            f"there is no such parameter in {region}; perhaps it was deleted after the submission"
        )
    if code.startswith("AccessDenied"):
        # AWS says of a key that may not be used that its ciphertext cannot be found.
        by_key = "kms:" in message or "ciphertext" in message
        lacking = "kms:Decrypt on its key" if by_key else "ssm:GetParameter on it"
        return f"the job's role lacks the permission {lacking} ({message})"
    return f"{code}: {message}"


def main() -> None:
    try:
        answer = {"values": {secret["name"]: read(secret) for secret in json.loads(sys.argv[2])}}
    except (RuntimeError, ImportError) as error:
        answer = {"error": str(error)}
    except Exception as error:  # its words are not known, and might quote what was read
        answer = {"error": f"the secrets could not be read: {type(error).__name__}"}
    with os.fdopen(int(sys.argv[1]), "w", encoding="utf-8") as pipe:
        json.dump(answer, pipe)


if __name__ == "__main__":
    main()
