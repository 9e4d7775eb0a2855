"""The gate of known vulnerabilities: critical findings of ECR's scan of an image."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import yaml
from botocore.exceptions import WaiterError

from infra.images import REPOSITORY, Image
from infra.preflight import ROOT, Account, ReleaseError

ACCEPTED = ROOT / "infra" / "accepted_findings.yaml"
WAIT = {"Delay": 5, "MaxAttempts": 24}


def check_findings(account: Account, image: Image) -> None:
    """Raises: ReleaseError if the scan found something critical that is not accepted, or has not ended."""
    accepted = read_accepted(ACCEPTED, date.today())
    found = [each for each in critical_findings(account, image) if each not in accepted]
    if found:
        raise ReleaseError(
            f"ECR's scan of {image.digest[:19]} found critical vulnerabilities: {', '.join(sorted(found))}; "
            "`make deploy` builds on the current base image, and infra/accepted_findings.yaml accepts single ones"
        )


def critical_findings(account: Account, image: Image) -> list[str]:
    """Names (CVE-…) of the critical ones."""
    ecr = account.client("ecr")
    wanted = {"repositoryName": REPOSITORY, "imageId": {"imageDigest": image.digest}}
    try:
        ecr.get_waiter("image_scan_complete").wait(**wanted, WaiterConfig=WAIT)
        pages = list(ecr.get_paginator("describe_image_scan_findings").paginate(**wanted))
    except WaiterError as error:
        raise ReleaseError(
            f"ECR has no scan of {image.digest[:19]} ({error}): aws ecr start-image-scan --repository-name "
            f"{REPOSITORY} --image-id imageDigest={image.digest}"
        ) from error
    return [
        each["name"]
        for page in pages
        for each in page["imageScanFindings"].get("findings", ())
        if each["severity"] == "CRITICAL"
    ]


def read_accepted(path: Path, today: date) -> set[str]:
    """Names whose day has not passed. Raises: ReleaseError for an entry without a day or a reason."""
    content: Mapping[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    for name, entry in content.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("until"), date) or not entry.get("reason"):
            raise ReleaseError(f"{path.name}: {name} needs `until: YYYY-MM-DD` and `reason`")
    return {name for name, entry in content.items() if entry["until"] >= today}
