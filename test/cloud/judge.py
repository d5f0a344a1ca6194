"""Asks the policy engine, which is a library of its own in a process of its own."""

import json
import subprocess
import threading
from pathlib import Path

from call import Need
from identity import ACCOUNT, Principal
from wire import AwsError

# A new key's own: the account decides, by its users' and roles' policies.
KEY_POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
            "Action": "kms:*",
            "Resource": "*",
        }
    ],
}

MOST_KNOWN = 2000  # answers that are kept, some kilobytes each


class Judge:
    """`node` runs judge.ts, which is @cloud-copilot/iam-simulate behind two pipes."""

    def __init__(self, node: str) -> None:
        script = Path(__file__).with_name("judge.ts")
        self._process = subprocess.Popen(
            [node, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._lock = threading.Lock()
        self._known: dict[str, dict] = {}

    def demand(self, principal: Principal, need: Need) -> None:
        """Raises AccessDenied, in AWS's words, unless the principal's policies allow it."""
        if self.allows(principal, need):
            return
        raise AwsError(
            "AccessDenied",
            f"User: {principal.session} is not authorized to perform: {need.action} on resource: "
            f"{need.resource} because no identity-based policy allows the {need.action} action",
            403,
        )

    def allows(self, principal: Principal, need: Need) -> bool:
        if principal.is_root:
            return True
        context = {"aws:PrincipalAccount": ACCOUNT, **need.context}
        of_resource = KEY_POLICY if need.action.startswith("kms:") else None
        return self._ask(principal.arn, need, context, list(principal.policies), of_resource)

    def trusts(self, role_arn: str, trust: dict, service: str) -> bool:
        """Whether a role's trust policy lets a service of this account assume the role."""
        context = {"aws:SourceAccount": ACCOUNT}
        return self._ask(service, Need("sts:AssumeRole", role_arn), context, [], trust)

    def _ask(self, who: str, need: Need, context: dict, policies: list, resource_policy) -> bool:
        question = {
            "principal": who,
            "action": need.action,
            "resource": need.resource,
            "account": ACCOUNT,
            "context": context,
            "policies": policies,
        }
        if resource_policy is not None:
            question["resourcePolicy"] = resource_policy
        line = json.dumps(question)
        # Nothing but the question decides: asked again, policies and all, it has the same answer.
        answer = self._known.get(line) or self._judge(line)
        if isinstance(answer["why"], dict):
            raise RuntimeError(f"{need} cannot be judged: {answer['why']}")
        return answer["allowed"]

    def _judge(self, line: str) -> dict:
        with self._lock:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
            answer = json.loads(self._process.stdout.readline())
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[line] = answer
        return answer

    def close(self) -> None:
        self._process.terminate()
