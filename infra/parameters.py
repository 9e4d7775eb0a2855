"""The parameters of the templates: which are whose, and which a release sets itself."""

import re
from argparse import ArgumentTypeError
from collections.abc import Iterable, Mapping

from infra.images import Image, image_uri
from infra.preflight import Account, ReleaseError
from infra.stacks import ACCOUNT_TEMPLATE, TEMPLATE, declared_parameters

GIVEN = re.compile(r"([A-Za-z][A-Za-z0-9]*)=(.*)")
# What a release sets itself. WithCanary: whether a change is tried on a tenth of the requests first, and given up if
# an alarm rings. Going back is not: the alarm that made you go back is still ringing.
OWN = ("Stage", "ImageUri", "Architecture", "WithCanary", "PermissionsBoundary")


def parameter(text: str) -> tuple[str, str]:
    """For argparse: "Name=value"."""
    found = GIVEN.fullmatch(text)
    if not found:
        raise ArgumentTypeError(f"{text!r} is not Name=value")
    if found[1] in OWN:
        raise ArgumentTypeError(f"{found[1]} is set by the command itself")
    return found[1], found[2]


def default_architecture() -> str:
    """Of infra/template.yaml."""
    return str(declared_parameters(TEMPLATE.read_text(encoding="utf-8"))["Architecture"]["Default"])


def split(given: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Those of a stage and those of the account; one that both templates declare goes to both.

    Raises: ReleaseError on a name that neither declares.
    """
    stage, account = (
        declared_parameters(path.read_text(encoding="utf-8")) for path in (TEMPLATE, ACCOUNT_TEMPLATE)
    )
    check_known(given, [*stage, *account])
    return (
        {name: value for name, value in given.items() if name in stage},
        {name: value for name, value in given.items() if name in account},
    )


def check_known(given: Iterable[str], declared: Iterable[str]) -> None:
    """Raises: ReleaseError on a name that is not declared."""
    unknown = sorted(set(given) - set(declared))
    if unknown:
        raise ReleaseError(f"the template has no parameter {', '.join(unknown)}")


def of_release(
    template: str, stage: str, account: Account, image: Image, *, with_canary: bool, boundary: str
) -> dict[str, str]:
    """What a release of `image` to `stage` sets; of what the template declares, because an older one has less."""
    wanted = {
        "Stage": stage,
        "ImageUri": image_uri(account, image.digest),
        "Architecture": image.source[2],
        "WithCanary": str(with_canary).lower(),
        "PermissionsBoundary": boundary,
    }
    declared = declared_parameters(template)
    return {name: value for name, value in wanted.items() if name in declared}
