"""Options that several commands have, each defined once: name → how argparse reads it."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lenslet.shipped import shipped

KEY_VARIABLE = "LENSLET_API_KEY"
KEY_HELP = f"sent as X-Api-Key; ${KEY_VARIABLE} is a better place for it: other users can read command lines"

COLUMNS = {
    "image": "paths, file names, ids or URLs",
    "label": "labels",
    "split": "splits; none: the splits are drawn",
    "group": "groups, such as patients or scenes, that no split may tear apart",
}
DATA_OPTIONS = ("--leaks", "--drop-small-classes", "--root", *(f"--{name}-column" for name in COLUMNS))


class SetAction(argparse.Action):
    """An option that is short for --set, with `const` as the key."""

    def __init__(self, option_strings: Sequence[str], dest: str, **keywords: Any) -> None:
        super().__init__(option_strings, "overrides", **{"default": [], **keywords})

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option: str | None = None,
    ) -> None:
        # As JSON, which is YAML, so that a column may be called 1 or null.
        value = (
            values if values.isdecimal() and self.const == "train.drop_small_classes" else json.dumps(values)
        )
        namespace.overrides = [*namespace.overrides, f"{self.const}={value}"]


def photo_place(text: str) -> Path:
    """The type of a place of photos, which a CommandParser checks when the whole command line is right."""
    return Path(text)


def override(text: str) -> str:
    """The type of --set: its value without the spaces around the key, which others compare."""
    key, equals, value = text.partition("=")
    return f"{key.strip()}{equals}{value}"


# Option → how argparse reads it. `add_options` adds them by name.
OPTIONS: dict[str, dict[str, Any]] = {
    "--data": {
        "type": photo_place,
        "required": True,
        "metavar": "PLACE",
        "help": "labelled photos: a folder, a list, an archive or s3://bucket/prefix",
    },
    "--model": {
        "type": Path,
        "default": Path("model"),
        "metavar": "FOLDER",
        "help": "model folder (%(default)s)",
    },
    "--params": {
        "type": Path,
        "metavar": "FILE",
        "help": "settings (params.yaml in the current folder, else the shipped one)",
    },
    "--set": {
        "dest": "overrides",
        "type": override,
        "action": "append",
        "default": [],
        "metavar": "SECTION.KEY=VALUE",
        "help": "use this value instead of the file's, as in --set train.head.epochs=20; can be repeated",
    },
    "--weights": {
        "help": "instead of train.backbone.weights: imagenet, none, registry:production, or a .keras file; a trained "
        "model's bring their backbone along"
    },
    "--cache": {
        "type": Path,
        "default": Path(".cache"),
        "metavar": "FOLDER",
        "help": "decoded photos and features (%(default)s)",
    },
    "--runs": {
        "type": Path,
        "default": Path("runs"),
        "metavar": "FOLDER",
        "help": "logs and checkpoints (%(default)s)",
    },
    "--report": {
        "type": Path,
        "default": Path("report"),
        "metavar": "FOLDER",
        "help": "where to write figures and plots (%(default)s)",
    },
    "--no-acceleration": {"action": "store_true", "help": "float32 on one device, as without GPUs"},
    "--leaks": {
        "action": SetAction,
        "const": "train.leaks",
        "choices": ("drop", "keep", "refuse"),
        "help": "training photos with a copy in the validation or test split (default: train.leaks)",
    },
    "--drop-small-classes": {
        "action": SetAction,
        "const": "train.drop_small_classes",
        "metavar": "N",
        "help": "leave out classes with fewer than N photos",
    },
    "--root": {
        "action": SetAction,
        "const": "train.list.root",
        "metavar": "FOLDER",
        "help": "folder that the paths in a list are relative to (default: that of the list)",
    },
    **{
        f"--{name}-column": {
            "action": SetAction,
            "const": f"train.list.{name}_column",
            "metavar": "NAME",
            "help": f"column of a list that holds {what}",
        }
        for name, what in COLUMNS.items()
    },
    "--lint-csv": {
        "type": Path,
        "metavar": "FILE",
        "help": "findings about the photos (lint.csv in the folder of the report)",
    },
    "--json": {"action": "store_true", "help": "print JSON to stdout, and everything else to stderr"},
}


def add_options(parser: argparse.ArgumentParser, *names: str, **changes: Any) -> None:
    """Add the options of these names, with `changes` to how argparse reads them."""
    for name in names:
        parser.add_argument(name, **{**OPTIONS[name], **changes})


def here_or_shipped(name: str) -> Path:
    """`name` in the current folder if it exists there, else the one that comes with Lenslet."""
    return Path(name) if Path(name).exists() else shipped(name)
