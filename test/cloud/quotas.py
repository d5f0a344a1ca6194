"""Service Quotas for SageMaker, and requests to raise them."""

import itertools
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from wire import AwsError

SERVICE = "sagemaker"
TRAINING = "{} for training job usage"
SPOT = "{} for spot training job usage"
ALL_JOBS = "Number of instances across all training jobs"
ALL_SPOT_JOBS = "Number of instances across all spot training jobs"
LONGEST = "Longest run time for a training job"


@dataclass
class Quota:
    name: str
    code: str
    value: float
    applied: bool  # false: only AWS's default is known, and ListServiceQuotas leaves it out


class Quotas:
    """Starts as AWS starts an account: nothing for GPUs, a little for CPUs."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._by_name: dict[str, Quota] = {}
        self._requests: list[dict] = []
        for name, value in ((ALL_JOBS, 4), (ALL_SPOT_JOBS, 4), (LONGEST, 432_000)):
            self.set(name, value)
        for kind in (
            "ml.g4dn.xlarge",
            "ml.g5.xlarge",
            "ml.g5.2xlarge",
            "ml.g5.12xlarge",
            "ml.g6.xlarge",
        ):
            self.set(TRAINING.format(kind), 0)
            self.set(SPOT.format(kind), 0)
        self.set(TRAINING.format("ml.m5.xlarge"), 4)

    def set(self, name: str, value: float, applied: bool = True) -> None:
        known = self._by_name.get(name)
        code = known.code if known else f"L-{next(self._numbers):08X}"
        self._by_name[name] = Quota(name, code, float(value), applied)

    def limit(self, name: str) -> float:
        quota = self._by_name.get(name)
        return quota.value if quota else 0.0

    def refuse_excess(self, name: str, used: int, wanted: int) -> None:
        """Raises the error that CreateTrainingJob answers with when a quota would be exceeded."""
        limit = self.limit(name)
        if used + wanted > limit:
            raise AwsError(
                "ResourceLimitExceeded",
                f"The account-level service limit '{name}' is {limit:g} Instances, with current "
                "utilization "
                f"of {used} Instances and a request delta of {wanted} Instances. "
                "Please use AWS Service Quotas to request an increase for this quota.",
            )

    def answer(self, operation: str, values: dict) -> dict:
        if values.get("ServiceCode") != SERVICE:
            raise AwsError(
                "NoSuchResourceException",
                "The request failed because the specified service does not exist.",
            )
        match operation:
            case "ListServiceQuotas":
                return self._page([q for q in self._by_name.values() if q.applied], values)
            case "ListAWSDefaultServiceQuotas":
                return self._page(list(self._by_name.values()), values)
            case "GetServiceQuota":
                return {"Quota": self._told(self._by_code(values["QuotaCode"], applied=True))}
            case "GetAWSDefaultServiceQuota":
                return {"Quota": self._told(self._by_code(values["QuotaCode"]))}
            case "RequestServiceQuotaIncrease":
                return {"RequestedQuota": self._request(values)}
            case "ListRequestedServiceQuotaChangeHistoryByQuota":
                mine = [r for r in self._requests if r["QuotaCode"] == values["QuotaCode"]]
                return {"RequestedQuotas": mine}
        raise AwsError("InvalidAction", f"{operation} is not known here")

    def _page(self, quotas: list[Quota], values: dict) -> dict:
        start, size = int(values.get("NextToken") or 0), values.get("MaxResults", 100)
        page = {"Quotas": [self._told(quota) for quota in quotas[start : start + size]]}
        if start + size < len(quotas):
            page["NextToken"] = str(start + size)
        return page

    def _by_code(self, code: str, applied: bool = False) -> Quota:
        for quota in self._by_name.values():
            if quota.code == code and (quota.applied or not applied):
                return quota
        raise AwsError(
            "NoSuchResourceException",
            "The request failed because the specified service quota does not exist.",
        )

    def _request(self, values: dict) -> dict:
        quota = self._by_code(values["QuotaCode"])
        if any(r["QuotaCode"] == quota.code and r["Status"] == "PENDING" for r in self._requests):
            raise AwsError(
                "ResourceAlreadyExistsException",
                "Only one open service quota increase request is allowed per quota.",
            )
        if values["DesiredValue"] <= quota.value:
            raise AwsError(
                "IllegalArgumentException",
                "You must provide a quota value greater than or equal to the current quota value.",
            )
        request = {
            "Id": uuid.uuid4().hex,
            "ServiceCode": SERVICE,
            "QuotaCode": quota.code,
            "QuotaName": quota.name,
            "DesiredValue": values["DesiredValue"],
            "Status": "PENDING",
            "Created": datetime.now(UTC),
        }
        self._requests.append(request)
        return request

    def _told(self, quota: Quota) -> dict:
        return {
            "ServiceCode": SERVICE,
            "ServiceName": "Amazon SageMaker",
            "QuotaName": quota.name,
            "QuotaCode": quota.code,
            "Value": quota.value,
            "Unit": "None",
            "Adjustable": True,
            "GlobalQuota": False,
        }
