"""SAM's transform of infra/template.yaml, as CloudFormation applies it, without AWS.

    make template

prints how many resources of each type one stage has, and how many of them depend on a parameter.
"""

import argparse
import json
import logging
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
TEMPLATE = ROOT / "infra" / "template.yaml"
# Required parameters; any digest will do.
EXAMPLE = {
    "Stage": "staging",
    "ImageUri": f"123456789012.dkr.ecr.eu-central-1.amazonaws.com/lenslet@sha256:{'0' * 64}",
}


class NoManagedPolicies:
    """Stands for the ARNs of AWS's managed policies, which SAM would ask IAM for: the template uses none by name."""

    def load(self) -> dict[str, str]:
        return {}


def read_template(path: Path = TEMPLATE) -> dict[str, Any]:
    """A template as plain objects: `!Ref X` becomes {"Ref": "X"}."""
    from samtranslator.yaml_helper import yaml_parse

    content: dict[str, Any] = yaml_parse(path.read_text(encoding="utf-8"))
    return content


def transform(template: Mapping[str, Any], parameters: Mapping[str, str]) -> dict[str, Any]:
    """The template after SAM's transform. Raises: InvalidDocumentException, naming what SAM does not understand."""
    # Late: its import takes half a second.
    from samtranslator.translator.transform import transform as translate

    logging.getLogger("samtranslator").setLevel(
        logging.ERROR
    )  # its warnings are about features that are not used
    os.environ.setdefault("AWS_DEFAULT_REGION", "eu-central-1")  # SAM needs a region to find the partition
    copy = json.loads(json.dumps(template))  # SAM changes its argument
    result: dict[str, Any] = translate(copy, {**EXAMPLE, **parameters}, NoManagedPolicies())
    return result


def summary(transformed: Mapping[str, Any]) -> str:
    """A table of resources by type, those under a condition counted apart."""
    resources = transformed["Resources"].values()
    always = Counter(each["Type"] for each in resources if "Condition" not in each)
    optional = Counter(each["Type"] for each in resources if "Condition" in each)
    rows = [f"{'type':36}{'always':>8}{'if asked for':>14}"]
    rows += [
        f"{name:36}{always[name] or '':>8}{optional[name] or '':>14}" for name in sorted({*always, *optional})
    ]
    return "\n".join([*rows, f"{'together':36}{always.total():>8}{optional.total():>14}"])


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Resources of one stage after SAM's transform, by type.")
    parser.add_argument("--json", action="store_true", help="print the whole transformed template instead")
    arguments = parser.parse_args(argv)
    transformed = transform(read_template(), {})
    print(json.dumps(transformed, indent=2) if arguments.json else summary(transformed))


if __name__ == "__main__":
    main()
