"""Summary of what a release would change: image, commit, model and its metrics."""

import json
import subprocess
from typing import Any

from infra.images import Image, model_json_in
from infra.preflight import ROOT, ReleaseError

FIGURES = ("accuracy", "roc_auc", "calibration_error", "robustness_mean")


def table(now: Image | None, then: Image) -> str:
    """Two columns: the running image and the proposed one."""
    before, after = (described(now) if now else {}), described(then)
    lines = [f"{'':<20}{'now':<34}then"]
    lines += [f"{name:<20}{before.get(name, '-'):<34}{value}" for name, value in after.items()]
    return "\n".join(lines)


def described(image: Image) -> dict[str, str]:
    """Name → value. The metrics come from git, and are "unknown here" if it does not have the commit."""
    try:
        commit, model, architecture = image.source
    except ReleaseError:
        return {"image": image.digest[:26], "built from": "unknown: it has no tag that says so"}
    figures = _figures(commit)
    return {
        "image": image.digest[:26],
        "commit": commit,
        "subject": (_git("log", "-1", "--format=%s", commit) or "unknown here")[:32],
        "model": model,
        "architecture": architecture,
        **{name: f"{figures[name]:.4f}" if name in figures else "unknown here" for name in FIGURES},
    }


def _figures(commit: str) -> dict[str, float]:
    """Test metrics of the model in that commit; empty if git does not have it."""
    try:
        content: dict[str, Any] = json.loads(_git("show", model_json_in(commit)) or "{}")
        return dict(content.get("metrics", {}).get("test", {}))
    except ValueError:
        return {}


def _git(*arguments: str) -> str | None:
    """Output of git; None if git is missing or the command fails."""
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
