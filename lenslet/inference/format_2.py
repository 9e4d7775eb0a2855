"""Upgrade of `model.json` from format 2, which Lenslet 0.1 wrote, to format 3."""

from typing import Any

# Key in format 2 → key in format 3. Those of metrics are prefixes: `worst_recall_low` is one too.
RENAMED_METRICS = {
    "worst_recall": "min_recall",
    "familiarity_auroc_": "ood_auroc_",
    "familiar_share": "ood_true_positive_rate",
}


def upgraded_from_format_2(content: dict[str, Any]) -> dict[str, Any]:
    """The same model as format 3. What format 2 would not allow stays as it is, for the check that follows."""
    upgraded = {"reference": {}, "ood_kind": "energy", "explanation": {}, **content, "format_version": 3}
    if "familiarity_threshold" in upgraded:
        familiarity = upgraded.pop("familiarity_threshold")
        # Familiarity was the negative free energy: higher for pictures that are in distribution.
        is_number = type(familiarity) in (int, float)
        upgraded["ood_threshold"] = -familiarity if is_number else familiarity
    if isinstance(content.get("metrics"), dict):
        upgraded["metrics"] = {split: _renamed(figures) for split, figures in content["metrics"].items()}
    return upgraded


def _renamed(figures: Any) -> Any:
    if not isinstance(figures, dict):
        return figures
    return {_new_name(name): value for name, value in figures.items()}


def _new_name(name: str) -> str:
    for old, new in RENAMED_METRICS.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name
