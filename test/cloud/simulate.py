"""iam:SimulatePrincipalPolicy, answered by the same engine that judges every request."""

from call import Need
from identity import Identities
from judge import Judge


def simulate(form: dict[str, str], identities: Identities, judge: Judge) -> str:
    """The inner XML of the answer."""
    principal = identities.by_arn(form["PolicySourceArn"])
    actions, resources = _members(form, "ActionNames"), _members(form, "ResourceArns") or ["*"]
    context = {}
    for index in range(1, 100):
        start = f"ContextEntries.member.{index}"
        if f"{start}.ContextKeyName" not in form:
            break
        values = _members(form, f"{start.removesuffix('.')}.ContextKeyValues")
        kind = form.get(f"{start}.ContextKeyType", "string")
        context[form[f"{start}.ContextKeyName"]] = values if kind.endswith("List") else values[0]
    results = []
    for action in actions:
        for resource in resources:
            allowed = judge.allows(principal, Need(action, resource, context))
            decision = "allowed" if allowed else "implicitDeny"
            results.append(
                f"<member><EvalActionName>{action}</EvalActionName><EvalResourceName>"
                f"{resource}</EvalResourceName>"
                f"<EvalDecision>{decision}</EvalDecision><MatchedStatements/>"
                "<MissingContextValues/></member>"
            )
    return (
        f"<EvaluationResults>{''.join(results)}</EvaluationResults><IsTruncated>false</IsTruncated>"
    )


def _members(form: dict[str, str], name: str) -> list[str]:
    found = []
    while (value := form.get(f"{name}.member.{len(found) + 1}")) is not None:
        found.append(value)
    return found
