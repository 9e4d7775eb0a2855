"""Options that several commands have, each defined once: name → how argparse reads it."""

import argparse
from pathlib import Path
from typing import Any

OPTIONS: dict[str, dict[str, Any]] = {
    "--params": {"type": Path, "default": Path("params.yaml"), "help": "default: %(default)s"},
    "--cache": {
        "type": Path,
        "default": Path(".cache"),
        "help": "decoded photos and features (%(default)s)",
    },
    "--allow-leaks": {"action": "store_true", "help": "go on although splits share photos"},
    "--lint-csv": {
        "type": Path,
        "default": Path("report/lint.csv"),
        "help": "findings about photos (%(default)s)",
    },
}


def add_options(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add the options of these names to a command's parser."""
    for name in names:
        parser.add_argument(name, **OPTIONS[name])
