"""Inputs of a retraining (of retrain.yml, or of an event's client_payload), written into params.yaml.

    python -m infra.training_inputs '{"learning_rate": "2e-4", "augmentation": "zoom=0.3 hue=0.1"}'

Empty inputs leave the file's values. Prints `DATA_SOURCE=s3://…` if there is an input `data`, for $GITHUB_ENV. Exit
code 2 with a sentence for an unknown input, a value that params.yaml does not take, or an address that is not s3://.
"""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lenslet.config.params import read_params, write_params
from lenslet.config.parsing import ParamsError

KEYS = {
    "backbone": "train.backbone.name",
    "batch_size": "train.fine_tune.batch_size",
    "optimizer": "train.head.optimizer",
    "learning_rate": "train.fine_tune.learning_rate",
}
# The head is a regression otherwise, which has no optimizer to choose.
WITH_OPTIMIZER = {"train.head.solver": "gradient"}
AUGMENTATION = "train.augmentation."
NO_PARAMETERS = ("data", "because")
PLACE = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[\w./=@+-]*)?")


def main(argv: list[str] | None = None) -> int:
    [text] = sys.argv[1:] if argv is None else argv
    try:
        inputs = json.loads(text) or {}
        overrides = overrides_of(inputs)
        place = data_source(inputs)
        if overrides:
            set_params(overrides, Path("params.yaml"))
    except (ParamsError, ValueError, AttributeError, OSError) as error:
        print(f"infra.training_inputs: {error}", file=sys.stderr)
        return 2
    if place:
        print(f"DATA_SOURCE={place}")
    return 0


def overrides_of(inputs: Mapping[str, Any]) -> dict[str, str]:
    """Dotted key of params.yaml → text. Raises: ParamsError for an input that is not known."""
    unknown = sorted(set(inputs) - set(KEYS) - {"augmentation", *NO_PARAMETERS})
    if unknown:
        raise ParamsError(
            f"there is no input {', '.join(unknown)}, only {', '.join(KEYS)}, augmentation and data"
        )
    found = {KEYS[name]: str(inputs[name]).strip() for name in KEYS if str(inputs.get(name) or "").strip()}
    if KEYS["optimizer"] in found:
        found |= WITH_OPTIMIZER
    for pair in str(inputs.get("augmentation") or "").split():
        name, equals, value = pair.partition("=")
        if not equals:
            raise ParamsError(f"augmentation takes name=value with spaces between, not {pair!r}")
        found[AUGMENTATION + name] = value
    return found


def data_source(inputs: Mapping[str, Any]) -> str:
    place = str(inputs.get("data") or "").strip()
    if place and not PLACE.fullmatch(place):
        raise ParamsError(f"data takes s3://bucket/prefix, not {place!r}")
    return place


def set_params(overrides: Mapping[str, str], params: Path) -> None:
    """Raises: ParamsError for an unknown key or a value that it does not take, and then nothing was changed."""
    after = read_params(params, [f"{key}={value}" for key, value in overrides.items()])
    write_params(params, {key: value_at(after, key) for key in overrides})


def value_at(params: Any, key: str) -> Any:
    """Raises: ParamsError for a key with a name that holds dots, which a file can have, but no dotted key of it."""
    for name in key.split("."):
        if isinstance(params, Mapping) and name not in params:
            raise ParamsError(f"{key} cannot be written by its dotted key: write it into params.yaml")
        params = params[name] if isinstance(params, Mapping) else getattr(params, name)
    return params


if __name__ == "__main__":
    sys.exit(main())
