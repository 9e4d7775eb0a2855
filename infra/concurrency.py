"""Reserved concurrency, as far as the account has room for it."""

from collections.abc import Mapping
from typing import Any

from infra.console import say
from infra.preflight import Account, ReleaseError

NAME = "ReservedConcurrency"
UNRESERVED = 100  # instances that AWS keeps for functions without a reservation
OF_UPLOADS = 2  # infra/template.yaml reserves them for the function of the upload bucket


def fitting(
    account: Account,
    given: Mapping[str, str],
    settings: Mapping[str, str],
    declared: Mapping[str, Mapping[str, Any]],
) -> dict[str, str]:
    """The parameter to add to those `given`, if any: -1, which reserves nothing, where the default has no room.

    `settings` are those that the stage has. Raises: ReleaseError if a number that was given has no room.
    """
    if NAME not in declared or (NAME not in given and NAME in settings):
        return {}
    wanted = int(given.get(NAME, declared[NAME].get("Default", -1)))
    if wanted <= 0:
        return {}
    limits = account.client("lambda").get_account_settings()["AccountLimit"]
    room = limits["UnreservedConcurrentExecutions"] + reserved(settings) - UNRESERVED
    if wanted + (reserved({**settings, **given, NAME: str(wanted)}) - wanted) <= room:
        return {}
    reason = (
        f"this account may run {limits['ConcurrentExecutions']:,} instances at once, of which AWS keeps "
        f"{UNRESERVED} unreserved"
    )
    if NAME in given:
        raise ReleaseError(
            f"{NAME}={wanted} has no room: {reason}; give {NAME}=-1, or ask for a higher quota (Service Quotas, Lambda)"
        )
    say(f"{reason}: {NAME}=-1, so that only the gateway bounds what a flood may cost")
    return {NAME: "-1"}


def reserved(settings: Mapping[str, str]) -> int:
    """Instances that a stage with these settings reserves."""
    own = int(settings.get(NAME) or -1)
    if own <= 0:
        return 0
    return own + (OF_UPLOADS if settings.get("WithUploads") == "true" else 0)
