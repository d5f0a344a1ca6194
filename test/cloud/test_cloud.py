"""Each rule of BEHAVIOUR.md, asked by boto3 and never by Moxi."""

import io
import json
import os
import tarfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

from account import ALL, BUCKET, IMAGE, KIND
from storage import JobStorage

HELLO = "print('hello')"
SPOT = {
    "EnableManagedSpotTraining": True,
    "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 120},
}


def code(error) -> str:
    return error.value.response["Error"]["Code"]


def message(error) -> str:
    return error.value.response["Error"]["Message"]


def test_a_job_runs_its_entry_point_and_leaves_its_model(cloud, submit):
    name = submit(
        "import os, json, pathlib\n"
        "root = pathlib.Path(os.environ['MOXI_ML_ROOT'])\n"
        "print(json.loads((root / "
        "'input/config/resourceconfig.json').read_text())['current_instance_type'])\n"
        "(root / 'model/weights').write_text('w')\n"
    )
    told = cloud.finish(name)
    assert told["TrainingJobStatus"] == "Completed"
    turns = [each["Status"] for each in told["SecondaryStatusTransitions"]]
    assert turns == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    uri = told["ModelArtifacts"]["S3ModelArtifacts"]
    assert uri == f"s3://{BUCKET}/moxi/models/{name}/output/model/"
    body = cloud.client("s3").get_object(
        Bucket=BUCKET, Key=f"moxi/models/{name}/output/model/weights"
    )
    assert body["Body"].read() == b"w"
    cloud.await_line(name, KIND)
    assert told["TrainingTimeInSeconds"] == told["BillableTimeInSeconds"]


def test_an_exit_code_other_than_0_fails_with_what_the_container_wrote(cloud, submit):
    name = submit(
        "import os, pathlib, sys\n"
        "(pathlib.Path(os.environ['MOXI_ML_ROOT']) / 'output/failure').write_text('ValueError: "
        "no rows')\n"
        "sys.exit(3)\n"
    )
    told = cloud.finish(name)
    assert told["TrainingJobStatus"] == told["SecondaryStatus"] == "Failed"
    assert told["FailureReason"] == "AlgorithmError: ValueError: no rows, exit code: 3"
    listed = cloud.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=f"moxi/models/{name}/")
    assert listed["KeyCount"] == 0


def test_stop_sends_sigterm_and_then_uploads(cloud, submit):
    name = submit(
        "import os, pathlib, signal, sys, time\n"
        "root = pathlib.Path(os.environ['MOXI_ML_ROOT'])\n"
        "def end(*_):\n"
        "    (root / 'checkpoints/last').write_text('c'); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print('ready')\n"
        "time.sleep(60)\n",
        CheckpointConfig={"S3Uri": f"s3://{BUCKET}/moxi/checkpoints/stop/"},
    )
    cloud.await_line(name, "ready")
    cloud.client("sagemaker").stop_training_job(TrainingJobName=name)
    told = cloud.finish(name)
    assert (told["TrainingJobStatus"], told["SecondaryStatus"]) == ("Stopped", "Stopped")
    saved = cloud.client("s3").get_object(Bucket=BUCKET, Key="moxi/checkpoints/stop/last")
    assert saved["Body"].read() == b"c"
    with pytest.raises(ClientError) as error:
        cloud.client("sagemaker").stop_training_job(TrainingJobName=name)
    assert code(error) == "ValidationException"


def test_a_container_that_ignores_sigterm_is_killed(cloud, submit):
    name = submit(
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready')\n"
        "time.sleep(60)\n"
    )
    cloud.await_line(name, "ready")
    cloud.client("sagemaker").stop_training_job(TrainingJobName=name)
    assert cloud.finish(name)["TrainingJobStatus"] == "Stopped"


def test_the_time_limit_stops_and_says_so_in_the_secondary_status(cloud, submit):
    name = submit("import time\ntime.sleep(60)\n", StoppingCondition={"MaxRuntimeInSeconds": 1})
    told = cloud.finish(name)
    assert (told["TrainingJobStatus"], told["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


def test_a_spot_interruption_starts_again_from_the_checkpoints_with_a_new_stream(cloud, submit):
    name = submit(
        "import os, pathlib, time\n"
        "place = pathlib.Path(os.environ['MOXI_ML_ROOT']) / 'checkpoints/step'\n"
        "if place.exists():\n"
        "    print('resumed', place.read_text())\n"
        "else:\n"
        "    place.write_text('7'); print('saved'); time.sleep(60)\n",
        CheckpointConfig={"S3Uri": f"s3://{BUCKET}/moxi/checkpoints/spot/"},
        **SPOT,
    )
    cloud.await_line(name, "saved")
    s3 = cloud.client("s3")
    until = time.monotonic() + 20
    while s3.list_objects_v2(Bucket=BUCKET, Prefix="moxi/checkpoints/spot/")["KeyCount"] == 0:
        assert time.monotonic() < until
    cloud.order("interrupt", job=name)
    told = cloud.finish(name)
    assert told["TrainingJobStatus"] == "Completed"
    turns = [each["Status"] for each in told["SecondaryStatusTransitions"]]
    assert turns[turns.index("Interrupted") :][:3] == ["Interrupted", "Starting", "Downloading"]
    cloud.await_line(name, "resumed 7")
    assert cloud.log(name) == [["saved"], ["resumed 7"]]
    assert told["BillableTimeInSeconds"] <= told["TrainingTimeInSeconds"]


def test_interruptions_can_wait_for_what_the_container_prints(cloud, submit):
    name = "interrupted-twice"
    cloud.order("interrupt", job=name, at=["step 2", "step 3"])
    submit(
        "import time\nfor step in range(5):\n    print('step', step)\n    time.sleep(0.5)\n",
        TrainingJobName=name,
        **SPOT,
    )
    assert cloud.finish(name)["TrainingJobStatus"] == "Completed"
    ends = [lines[-1] for lines in cloud.log(name)]
    assert ends == ["step 2", "step 3", "step 4"]


def test_a_name_is_used_once(cloud, submit):
    name = submit(HELLO)
    with pytest.raises(ClientError) as error:
        submit(HELLO, TrainingJobName=name)
    assert code(error) == "ResourceInUse"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"TrainingJobName": "bad name"}, "trainingJobName"),
        (
            {"ResourceConfig": {"InstanceType": "ml.toaster", "InstanceCount": 1}},
            "resourceConfig.instanceType",
        ),
        ({"Environment": {"KEY": "x" * 513}}, "environment"),
        (
            {"StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 90}},
            "MaxWaitTimeInSeconds",
        ),
        ({**SPOT, "StoppingCondition": {"MaxRuntimeInSeconds": 60}}, "MaxWaitTimeInSeconds"),
    ],
)
def test_a_request_against_the_model_is_refused(submit, changes, said):
    with pytest.raises(ClientError) as error:
        submit(HELLO, **changes)
    assert code(error) == "ValidationException"
    assert said in message(error)


def test_input_that_is_not_there_is_refused_at_once(submit):
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/nothing/"}}
    with pytest.raises(ClientError) as error:
        submit(HELLO, InputDataConfig=[{"ChannelName": "train", "DataSource": source}])
    assert "No S3 objects found under S3 URL" in message(error)


@pytest.mark.parametrize("role", ["nobody", "lambda-only"])
def test_a_role_that_cannot_be_assumed_is_refused(cloud, submit, role):
    if role == "lambda-only":
        cloud.role(role, ALL, service="lambda.amazonaws.com")
    with pytest.raises(ClientError) as error:
        submit(HELLO, RoleArn=f"arn:aws:iam::123456789012:role/{role}")
    assert message(error).startswith("Could not assume role")


def test_quotas_count_what_runs_and_can_be_asked_for(cloud, submit):
    kind = "ml.g5.xlarge"
    config = {"InstanceType": kind, "InstanceCount": 1, "VolumeSizeInGB": 30}
    with pytest.raises(ClientError) as error:
        submit(HELLO, ResourceConfig=config)
    assert code(error) == "ResourceLimitExceeded"
    quotas = cloud.client("service-quotas")
    pages = quotas.get_paginator("list_service_quotas").paginate(ServiceCode="sagemaker")
    known = {quota["QuotaName"]: quota for page in pages for quota in page["Quotas"]}
    mine = known[f"{kind} for training job usage"]
    assert mine["Value"] == 0
    by_code = {"ServiceCode": "sagemaker", "QuotaCode": mine["QuotaCode"]}
    assert quotas.get_service_quota(**by_code)["Quota"] == mine
    assert quotas.get_aws_default_service_quota(**by_code)["Quota"] == mine
    cloud.order("quota", name=f"{kind} for training job usage", value=0, applied=False)
    with pytest.raises(ClientError) as error:
        quotas.get_service_quota(**by_code)
    assert code(error) == "NoSuchResourceException"
    assert quotas.get_aws_default_service_quota(**by_code)["Quota"]["Value"] == 0
    asked = quotas.request_service_quota_increase(
        ServiceCode="sagemaker", QuotaCode=mine["QuotaCode"], DesiredValue=1
    )
    assert asked["RequestedQuota"]["Status"] == "PENDING"
    with pytest.raises(ClientError) as error:
        quotas.request_service_quota_increase(
            ServiceCode="sagemaker", QuotaCode=mine["QuotaCode"], DesiredValue=1
        )
    assert code(error) == "ResourceAlreadyExistsException"
    cloud.order("quota", name=f"{kind} for training job usage", value=1)
    first = submit("import time\nprint('ready')\ntime.sleep(60)\n", ResourceConfig=config)
    with pytest.raises(ClientError) as error:
        submit(HELLO, ResourceConfig=config)
    assert "current utilization of 1 Instances" in message(error)
    cloud.client("sagemaker").stop_training_job(TrainingJobName=first)
    cloud.finish(first)
    cloud.finish(submit(HELLO, ResourceConfig=config))


def test_no_capacity_fails_the_job_and_preferences_fall_back(cloud, submit):
    cloud.order("capacity", kind=KIND, starts=2)
    told = cloud.finish(submit(HELLO))
    assert told["FailureReason"].startswith(
        "CapacityError: Unable to provision requested ML compute capacity."
    )
    cloud.order("quota", name="ml.g5.12xlarge for training job usage", value=1)
    preferences = [{"InstanceType": KIND}, {"InstanceType": "ml.g5.12xlarge"}]
    name = submit(
        "import os, json\n"
        "path = os.environ['MOXI_ML_ROOT'] + '/input/config/resourceconfig.json'\n"
        "print(json.load(open(path))['current_instance_type'])\n",
        ResourceConfig={"InstanceCount": 1, "InstancePreferences": preferences},
    )
    told = cloud.finish(name)
    assert told["TrainingJobStatus"] == "Completed"
    assert told["ResourceConfig"]["SelectedInstanceType"] == "ml.g5.12xlarge"
    cloud.await_line(name, "ml.g5.12xlarge")


def test_an_image_that_is_not_there_fails_the_job(cloud, submit):
    algorithm = {"TrainingImage": IMAGE.replace(":1", ":2"), "TrainingInputMode": "File"}
    told = cloud.finish(submit(HELLO, AlgorithmSpecification=algorithm))
    assert told["FailureReason"].startswith("ClientError: Cannot find image")


def test_the_job_works_with_its_roles_rights_alone(cloud, submit):
    role = cloud.role(
        "reader",
        {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"},
    )
    name = submit(
        "import os, pathlib\n(pathlib.Path(os.environ['MOXI_ML_ROOT']) / "
        "'model/w').write_text('w')\n",
        RoleArn=role,
    )
    told = cloud.finish(name)
    assert told["TrainingJobStatus"] == "Failed"
    assert "AccessDenied" in told["FailureReason"]
    assert "s3:PutObject" in told["FailureReason"]


def test_the_container_reaches_its_roles_credentials_by_address(cloud, submit):
    name = submit(
        "import json, os, urllib.request\n"
        "assert not [name for name in os.environ if 'SECRET' in name]\n"
        "answer = urllib.request.urlopen(os.environ['AWS_CONTAINER_CREDENTIALS_FULL_URI'])\n"
        "print(json.load(answer)['RoleArn'])\n"
    )
    cloud.finish(name)
    cloud.await_line(name, "arn:aws:iam::123456789012:role/trainer")


def test_a_user_needs_each_permission_passing_the_role_included(cloud, submit):
    statements = [{"Effect": "Allow", "Action": ["sagemaker:*"], "Resource": "*"}]
    user = cloud.user("lee", *statements)
    with pytest.raises(ClientError) as error:
        submit(HELLO, user=user)
    assert code(error) == "AccessDenied"
    assert "iam:PassRole" in message(error)
    passing = {
        "Effect": "Allow",
        "Action": "iam:PassRole",
        "Resource": "arn:aws:iam::123456789012:role/trainer",
        "Condition": {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
    }
    cloud.permit("lee", *statements, passing)
    cloud.finish(submit(HELLO, user=user))
    with pytest.raises(ClientError) as error:
        user.client("s3").list_objects_v2(Bucket=BUCKET)
    assert code(error) == "AccessDenied"


def test_a_managed_policy_counts_like_one_of_the_users_own_by_its_default_version(cloud):
    user, iam = cloud.user("managed"), cloud.client("iam")
    allow = {"Effect": "Allow", "Action": "sagemaker:ListTrainingJobs", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    policy = iam.create_policy(PolicyName="listing", PolicyDocument=document)["Policy"]["Arn"]
    iam.attach_user_policy(UserName="managed", PolicyArn=policy)
    user.client("sagemaker").list_training_jobs()
    denying = json.dumps({"Version": "2012-10-17", "Statement": [{**allow, "Effect": "Deny"}]})
    iam.create_policy_version(PolicyArn=policy, PolicyDocument=denying, SetAsDefault=True)
    with pytest.raises(ClientError) as error:
        user.client("sagemaker").list_training_jobs()
    assert code(error) == "AccessDenied"


def test_strangers_wrong_secrets_and_old_tokens_are_told_apart(cloud):
    for key, secret, expected in (
        ("AKIANOBODY0000000000", "x", "UnrecognizedClientException"),
        (cloud.key, "wrong", "SignatureDoesNotMatch"),
    ):
        with pytest.raises(ClientError) as error:
            cloud.client("sagemaker", key, secret).list_training_jobs()
        assert code(error) == expected
    user = cloud.user("old", ALL)
    user.client("sagemaker").list_training_jobs()
    cloud.order("expire", key=user.key)
    with pytest.raises(ClientError) as error:
        user.client("sagemaker").list_training_jobs()
    assert code(error) == "ExpiredToken"


def test_the_simulator_answers_by_the_same_rules(cloud):
    role = cloud.role(
        "simulated",
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::a-b/moxi/*"},
    )
    told = cloud.client("iam").simulate_principal_policy(
        PolicySourceArn=role,
        ActionNames=["s3:GetObject", "s3:PutObject"],
        ResourceArns=["arn:aws:s3:::a-b/moxi/x", "arn:aws:s3:::other/x"],
    )
    decisions = [each["EvalDecision"] for each in told["EvaluationResults"]]
    assert decisions == ["allowed", "implicitDeny", "implicitDeny", "implicitDeny"]


def test_a_new_job_may_not_be_found_for_a_while(cloud, submit):
    cloud.order("lag", reads=2)
    name = submit(HELLO)
    cloud.order("lag", reads=0)
    sagemaker = cloud.client("sagemaker")
    for _ in range(2):
        with pytest.raises(ClientError) as error:
            sagemaker.describe_training_job(TrainingJobName=name)
        assert message(error) == "Requested resource not found."
    assert cloud.finish(name)["TrainingJobStatus"] == "Completed"


def test_faults_come_when_ordered(cloud, submit):
    cloud.order("fault", operation="ListTrainingJobs", kind="throttle", skip=1, times=1)
    sagemaker = cloud.client("sagemaker")
    sagemaker.list_training_jobs()
    with pytest.raises(ClientError) as error:
        sagemaker.list_training_jobs()
    assert code(error) == "ThrottlingException"
    sagemaker.list_training_jobs()
    cloud.order("fault", operation="CreateTrainingJob", kind="lost")
    with pytest.raises(Exception) as lost:
        submit(HELLO, TrainingJobName="answer-lost")
    assert not isinstance(lost.value, ClientError)
    assert cloud.finish("answer-lost")["TrainingJobStatus"] == "Completed"


def test_a_model_is_one_archive_unless_it_is_asked_not_to_be(cloud, submit):
    write = "open(__import__('os').environ['MOXI_ML_ROOT'] + '/model/weights', 'w').write('w')"
    job = submit(write, OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/moxi/models/packed"})
    uri = cloud.finish(job)["ModelArtifacts"]["S3ModelArtifacts"]
    assert uri == f"s3://{BUCKET}/moxi/models/packed/{job}/output/model.tar.gz"
    key = uri.removeprefix(f"s3://{BUCKET}/")
    packed = cloud.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert archive.extractfile("./weights").read() == b"w"


def test_log_lines_come_late_where_that_is_ordered(cloud, submit):
    cloud.order("logs", delay=1)
    try:
        job = submit("print('last words')")
        cloud.finish(job)
        assert not cloud.has_log(job)
        cloud.await_line(job, "last words")
    finally:
        cloud.order("logs", delay=None)


def test_a_status_filter_is_applied_after_the_page_is_taken(cloud, submit):
    failed = submit("raise SystemExit(1)", TrainingJobName="page-1")
    cloud.finish(failed)
    cloud.finish(submit(HELLO, TrainingJobName="page-2"))
    page = cloud.client("sagemaker").list_training_jobs(
        NameContains="page-", MaxResults=1, StatusEquals="Failed"
    )
    assert page["TrainingJobSummaries"] == []
    assert page["NextToken"]


def test_a_line_over_256_kib_is_split(cloud, submit):
    name = submit("print('x' * 300_000)\nprint('end')\n")
    cloud.finish(name)
    cloud.await_line(name, "end")
    first, second, end = cloud.log(name)[0]
    assert (first + second, end) == ("x" * 300_000, "end")
    assert len(first) == 256 * 1024 - 26


def test_prices_and_images_are_told(cloud):
    told = cloud.client("pricing").get_products(
        ServiceCode="AmazonSageMaker",
        Filters=[
            {"Type": "TERM_MATCH", "Field": "instanceName", "Value": KIND},
            {"Type": "TERM_MATCH", "Field": "regionCode", "Value": "us-east-1"},
        ],
    )
    (product,) = map(json.loads, told["PriceList"])
    assert product["product"]["attributes"]["component"] == "Training"
    ecr = cloud.client("ecr")
    found = ecr.describe_images(
        registryId="763104351884", repositoryName="rehearsal", imageIds=[{"imageTag": "1"}]
    )
    assert found["imageDetails"][0]["imageDigest"].startswith("sha256:")
    with pytest.raises(ClientError) as error:
        ecr.describe_images(
            registryId="763104351884", repositoryName="rehearsal", imageIds=[{"imageTag": "9"}]
        )
    assert code(error) == "ImageNotFoundException"


def test_a_secure_parameter_is_stored_once_by_whoever_may_tag_it(cloud):
    parameters = "arn:aws:ssm:us-east-1:123456789012:parameter/moxi/*"
    put = {"Effect": "Allow", "Action": "ssm:PutParameter", "Resource": parameters}
    user = cloud.user("keeper", put)
    asked = {"Name": "/moxi/a", "Value": "one", "Type": "SecureString"}
    tags = [{"Key": "moxi:managed", "Value": "true"}]
    with pytest.raises(ClientError) as error:
        user.client("ssm").put_parameter(**asked, Tags=tags)
    assert "ssm:AddTagsToResource" in message(error)
    cloud.permit("keeper", {**put, "Action": ["ssm:PutParameter", "ssm:AddTagsToResource"]})
    ssm = user.client("ssm")
    ssm.put_parameter(**asked, Tags=tags)
    with pytest.raises(ClientError) as error:
        ssm.put_parameter(**{**asked, "Value": "two"}, Tags=tags)
    assert code(error) == "ParameterAlreadyExists"
    with pytest.raises(ClientError) as error:
        ssm.put_parameter(**asked, Tags=tags, Overwrite=True)
    assert code(error) == "ValidationException"
    with pytest.raises(ClientError) as error:
        ssm.put_parameter(**{**asked, "Name": "/other/a"})
    assert "parameter/other/a" in message(error)
    for read in (
        lambda: ssm.get_parameter(Name="/moxi/a", WithDecryption=True),
        lambda: ssm.get_parameters(Names=["/moxi/a"], WithDecryption=True),
    ):
        with pytest.raises(ClientError) as error:
            read()
        assert "ssm:GetParameter" in message(error)
    told = cloud.client("ssm").get_parameter(Name="/moxi/a", WithDecryption=True)
    assert told["Parameter"]["Value"] == "one"


def test_a_customers_key_must_be_allowed_for_this_very_parameter(cloud):
    key = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
    use = {
        "Effect": "Allow",
        "Action": "kms:Decrypt",
        "Resource": key,
        "Condition": {
            "StringEquals": {"kms:ViaService": "ssm.us-east-1.amazonaws.com"},
            "StringLike": {
                "kms:EncryptionContext:PARAMETER_ARN": (
                    "arn:aws:ssm:us-east-1:123456789012:parameter/moxi/*"
                )
            },
        },
    }
    everything = {"Effect": "Allow", "Action": "ssm:*", "Resource": "*"}
    user = cloud.user("reader-by-key", everything)
    asked = {"Value": "one", "Type": "SecureString", "KeyId": key}
    with pytest.raises(ClientError) as error:
        user.client("ssm").put_parameter(Name="/moxi/keyed", **asked)
    assert "kms:Encrypt" in message(error)
    for name in ("/moxi/keyed", "/other/keyed"):
        cloud.client("ssm").put_parameter(Name=name, **asked)
    user.client("ssm").get_parameter(Name="/moxi/keyed")  # as it is stored
    with pytest.raises(ClientError) as error:
        user.client("ssm").get_parameter(Name="/moxi/keyed", WithDecryption=True)
    assert "kms:Decrypt" in message(error)
    cloud.permit("reader-by-key", everything, use)
    user.client("ssm").get_parameter(Name="/moxi/keyed", WithDecryption=True)
    with pytest.raises(ClientError) as error:
        user.client("ssm").get_parameter(Name="/other/keyed", WithDecryption=True)
    assert "kms:Decrypt" in message(error)


def test_a_bucket_is_missing_elsewhere_or_a_strangers_before_permissions_are_judged(cloud):
    nobody = cloud.user("nobody-s3")
    cloud.client("s3").create_bucket(
        Bucket="far-away", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    cloud.order("stranger", bucket="foreign")
    with pytest.raises(ClientError) as missing:
        nobody.client("s3").list_objects_v2(Bucket="not-there")
    assert code(missing) == "NoSuchBucket"
    answers = []
    astray = nobody.client("s3")
    # boto3 follows a redirection by itself, to where the bucket is and the user is denied.
    astray.meta.events.register_first(
        "needs-retry.s3", lambda response, **_: answers.append(response[0])
    )
    with pytest.raises(ClientError) as far:
        astray.put_object(Bucket="far-away", Key="a", Body=b"")
    assert code(far) == "AccessDenied"
    assert answers[0].status_code == 301
    assert answers[0].headers["x-amz-bucket-region"] == "eu-west-1"
    for client in (nobody.client("s3"), cloud.client("s3")):
        with pytest.raises(ClientError) as denied:
            client.list_objects_v2(Bucket="foreign")
        assert code(denied) == "AccessDenied"


def test_a_request_that_names_another_owner_of_the_bucket_is_denied(cloud):
    s3 = cloud.client("s3")
    s3.list_objects_v2(Bucket=BUCKET, ExpectedBucketOwner="123456789012")
    with pytest.raises(ClientError) as denied:
        s3.list_objects_v2(Bucket=BUCKET, ExpectedBucketOwner="999999999999")
    assert code(denied) == "AccessDenied"


def test_a_customers_key_must_be_allowed_for_objects_that_are_under_it(cloud):
    key = "arn:aws:kms:us-east-1:123456789012:key/22222222-2222-3333-4444-555555555555"
    everything = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    user = cloud.user("sender-by-key", everything)
    place = {"Bucket": BUCKET, "Key": "keyed/a"}
    under = {**place, "ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}
    for make in (
        lambda: user.client("s3").put_object(**under, Body=b"one"),
        lambda: user.client("s3").create_multipart_upload(**under),
    ):
        with pytest.raises(ClientError) as error:
            make()
        assert "kms:GenerateDataKey" in message(error)
    cloud.client("s3").put_object(**under, Body=b"one")
    with pytest.raises(ClientError) as error:
        user.client("s3").get_object(**place)
    assert "kms:Decrypt" in message(error)
    use = {"Effect": "Allow", "Action": ["kms:GenerateDataKey", "kms:Decrypt"], "Resource": key}
    cloud.permit("sender-by-key", everything, use)
    user.client("s3").put_object(**under, Body=b"two")
    assert user.client("s3").get_object(**place)["Body"].read() == b"two"


def test_a_machine_that_is_kept_is_billed_after_its_job(cloud, submit):
    resources = {"InstanceType": KIND, "InstanceCount": 1, "VolumeSizeInGB": 30}
    kept = {**resources, "KeepAlivePeriodInSeconds": 1}
    name = submit(HELLO, ResourceConfig=kept)
    assert "ResourceRetainedBillableTimeInSeconds" in cloud.finish(name)["WarmPoolStatus"]
    for _ in range(100):
        told = cloud.client("sagemaker").describe_training_job(TrainingJobName=name)
        if told["WarmPoolStatus"]["Status"] == "Terminated":
            break
        time.sleep(0.05)
    pool = {"Status": "Terminated", "ResourceRetainedBillableTimeInSeconds": 1}
    assert told["WarmPoolStatus"] == pool
    assert "WarmPoolStatus" not in cloud.finish(submit(HELLO))


def test_a_folder_that_goes_while_checkpoints_are_copied_is_left_out(cloud, tmp_path, monkeypatch):
    folder, away = tmp_path / "checkpoints", tmp_path / "away"
    for name in ("kept", "old"):
        (folder / name).mkdir(parents=True)
        (folder / name / "weights").write_text(name)
    scan = os.scandir

    def scan_late(place):
        if str(place) == str(folder / "old"):
            Path(place).rename(away)
        return scan(place)

    monkeypatch.setattr(os, "scandir", scan_late)
    session = SimpleNamespace(key=cloud.key, secret=cloud.secret, token=None)
    storage = JobStorage(cloud.endpoint, "us-east-1", lambda: session)
    storage.upload(folder, f"s3://{BUCKET}/going", {})
    listed = cloud.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="going/")
    assert [each["Key"] for each in listed["Contents"]] == ["going/kept/weights"]


def test_no_bug_of_the_cloud_itself_was_hidden_as_an_internal_error(cloud):
    assert cloud.order("bugs") == []
