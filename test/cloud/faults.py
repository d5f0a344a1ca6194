"""Faults to order: the n-th call of an operation fails, and how."""

import json
import threading
from dataclasses import dataclass

from wire import AwsError

ERRORS = {
    "throttle": ("ThrottlingException", "Rate exceeded", 400),
    "unavailable": ("ServiceUnavailable", "Service is unable to handle request.", 503),
    "internal": (
        "InternalFailure",
        "The request processing has failed because of an unknown error.",
        500,
    ),
    "expired": (
        "ExpiredTokenException",
        "The security token included in the request is expired",
        403,
    ),
    "denied": ("AccessDeniedException", "User is not authorized to perform this operation", 403),
}


class LostAnswer(Exception):
    """The request was carried out, and its answer never arrives."""


@dataclass
class Fault:
    operation: str
    kind: str  # a key of ERRORS, or "lost"
    skip: int  # calls that pass before
    times: int  # calls that fail then
    within: str  # what the call's values have in them, such as a part of a key


class Faults:
    def __init__(self) -> None:
        self._ordered: list[Fault] = []
        self._lock = threading.Lock()

    def order(
        self, operation: str, kind: str, skip: int = 0, times: int = 1, within: str = ""
    ) -> None:
        if kind != "lost" and kind not in ERRORS:
            raise ValueError(f"{kind} is no fault; there are {', '.join([*ERRORS, 'lost'])}")
        with self._lock:
            self._ordered.append(Fault(operation, kind, skip, times, within))

    def take(self, operation: str, values: dict) -> bool:
        """Raises the fault that is due; True if the answer is to be lost."""
        with self._lock:
            for fault in self._ordered:
                if fault.operation != operation or fault.times == 0:
                    continue
                if fault.within not in json.dumps(values, default=str):
                    continue
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                if fault.kind == "lost":
                    return True
                raise AwsError(*ERRORS[fault.kind])
        return False
