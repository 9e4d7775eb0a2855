"""What `make check` makes of pip-audit's findings."""

import json

import pytest

from infra.audit import REQUIREMENTS, verdict
from tests.support.endpoint import ROOT

GOOD = {"name": "numpy", "version": "1.26.4", "vulns": []}
BAD = {"name": "pillow", "version": "9.0.0", "vulns": [{"id": "PYSEC-2023-175"}]}
UNKNOWN = {"name": "h11", "skip_reason": "not found on PyPI"}
OFFLINE = "Traceback\nrequests.exceptions.ConnectionError: HTTPSConnectionPool(host='pypi.org', port=443)\n"


@pytest.mark.parametrize(
    ("packages", "expected"),
    [
        ([GOOD, GOOD], (0, "")),
        ([GOOD, BAD, UNKNOWN], (1, "known vulnerabilities in pillow: make audit says which")),
        (
            [GOOD, UNKNOWN],
            (0, "known vulnerabilities: 1 of 2 packages not checked: not found on PyPI"),
        ),
    ],
)
def test_verdict_about_packages(packages: list[object], expected: tuple[int, str]) -> None:
    assert verdict(json.dumps({"dependencies": packages, "fixes": []}), "No known…") == expected


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        (OFFLINE, (0, "known vulnerabilities: not checked, because PyPI cannot be reached")),
        ("usage: …\nInvalidVersion: ''\n", (1, "pip-audit failed: InvalidVersion: ''")),
        ("", (1, "pip-audit failed: it printed nothing")),
    ],
)
def test_verdict_without_a_report(errors: str, expected: tuple[int, str]) -> None:
    assert verdict("", errors) == expected


def test_all_that_is_in_the_images_is_looked_at() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    for name in REQUIREMENTS:
        assert f"--requirement {name}" in dockerfile or name in dockerfile
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(f"--requirement {name}" in makefile for name in REQUIREMENTS)
