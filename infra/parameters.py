"""Template parameters: those of each stack, and those that a release sets itself."""

import re
from argparse import ArgumentTypeError
from collections.abc import Mapping
from datetime import UTC, datetime
from math import inf
from typing import Any

from infra.images import Image, image_uri
from infra.preflight import Account, ReleaseError
from infra.stacks import ACCOUNT_TEMPLATE, TEMPLATE, Stack, declared_parameters

GIVEN = re.compile(r"([A-Za-z][A-Za-z0-9]*)=(.*)")
# Set by the release itself. WithCanary: whether a change first gets a tenth of the requests and is rolled back on an
# alarm. A rollback goes without: the alarm that caused it is still active.
OWN = ("Stage", "ImageUri", "Architecture", "WithCanary", "PermissionsBoundary", "ReleasedAt")


def parameter(text: str) -> tuple[str, str]:
    """For argparse: "Name=value"."""
    found = GIVEN.fullmatch(text)
    if not found:
        raise ArgumentTypeError(f"{text!r} is not Name=value")
    if found[1] in OWN:
        raise ArgumentTypeError(f"{found[1]} is set by the command itself")
    return found[1], found[2]


def default_architecture() -> str:
    """The default of infra/template.yaml."""
    return str(declared_parameters(TEMPLATE.read_text(encoding="utf-8"))["Architecture"]["Default"])


def split(given: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Parameters of the stage's stack and of the account's stack; one that both declare goes to both.

    Raises: ReleaseError for a name that neither declares, or a value that one of them refuses.
    """
    stage, account = (
        declared_parameters(path.read_text(encoding="utf-8")) for path in (TEMPLATE, ACCOUNT_TEMPLATE)
    )
    check_given(given, {**account, **stage})
    return (
        {name: value for name, value in given.items() if name in stage},
        {name: value for name, value in given.items() if name in account},
    )


def check_given(given: Mapping[str, str], declared: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises: ReleaseError for an undeclared name, or a value that CloudFormation would refuse minutes later."""
    unknown = sorted(set(given) - set(declared))
    if unknown:
        raise ReleaseError(f"the template has no parameter {', '.join(unknown)}")
    for name, value in given.items():
        if wanted := _refusal(value, declared[name]):
            raise ReleaseError(
                f"parameter {name} takes {wanted}"
            )  # the value is not printed: it may be a secret


def _refusal(value: str, rule: Mapping[str, Any]) -> str | None:
    """The values that the parameter takes, if it refuses this one; else None."""
    if "AllowedValues" in rule:
        allowed = [str(each) for each in rule["AllowedValues"]]
        return None if value in allowed else f"one of {', '.join(allowed)}"
    if rule.get("Type") == "Number":
        least, most = rule.get("MinValue", -inf), rule.get("MaxValue", inf)
        try:
            is_good = least <= float(value) <= most
        except ValueError:
            is_good = False
        return None if is_good else f"a number from {least:g}" + (f" to {most:g}" if most < inf else "")
    pattern = rule.get("AllowedPattern")
    if pattern is None or re.fullmatch(pattern, value):  # CloudFormation matches the whole value, too
        return None
    return str(rule.get("ConstraintDescription", pattern))


def given_to(stack: Stack | None) -> dict[str, str]:
    """Parameters of a stage that its owner has set; empty without a stage."""
    return {name: value for name, value in stack.parameters.items() if name not in OWN} if stack else {}


def of_release(
    template: str, stage: str, account: Account, image: Image, *, with_canary: bool, boundary: str
) -> dict[str, str]:
    """Parameters that a release of `image` to `stage` sets, if the template, which may be older, declares them."""
    wanted = {
        "Stage": stage,
        "ImageUri": image_uri(account, image.digest),
        "Architecture": image.source[2],
        "WithCanary": str(with_canary).lower(),
        "PermissionsBoundary": boundary,
    }
    declared = declared_parameters(template)
    return {name: value for name, value in wanted.items() if name in declared}


def release_time(before: Stack | None, wanted: Mapping[str, str]) -> str:
    """For ReleasedAt: now, or the time that the stack has if it runs the parameters `wanted` already.

    A repeated command then makes no new version. After a rollback it does: the version that was taken back exists
    still, and Lambda publishes no second one of the same code and settings.
    """
    is_same = (
        before is not None
        and before.status in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
        and all(before.parameters.get(name) == value for name, value in wanted.items())
    )
    if before and is_same and before.parameters.get("ReleasedAt"):
        return before.parameters["ReleasedAt"]
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
