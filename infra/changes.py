"""Summary of what a release would change: image, commit, model and its metrics."""

import json
import subprocess
from typing import Any

from infra.images import Image, model_json_in
from infra.preflight import ROOT, ReleaseError

FIGURES = ("accuracy", "roc_auc", "calibration_error", "robustness_mean")


def table(now: Image | None, then: Image) -> str:
    """Two columns: what runs, and what would run."""
    before, after = (described(now) if now else {}), described(then)
    lines = [f"{'':<20}{'now':<34}then"]
    lines += [f"{name:<20}{before.get(name, '-'):<34}{value}" for name, value in after.items()]
    return "\n".join(lines)


def described(image: Image) -> dict[str, str]:
    """Name → value. Figures come from git; where it does not know the commit, they are unknown."""
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
    """On the test photos, of the model in that commit; without any, an empty dictionary."""
    try:
        content: dict[str, Any] = json.loads(_git("show", model_json_in(commit)) or "{}")
        return dict(content.get("metrics", {}).get("test", {}))
    except ValueError:
        return {}


def _git(*arguments: str) -> str | None:
    """None if git is missing or knows nothing of it."""
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
