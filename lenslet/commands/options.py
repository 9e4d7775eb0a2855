"""Parsers of commands: options that several of them have, and the answer to a mistyped one."""

import argparse
import json
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from lenslet.shipped import shipped

if TYPE_CHECKING:
    from lenslet.config import Params

KEY_VARIABLE = "LENSLET_API_KEY"
KEY_HELP = f"sent as X-Api-Key; ${KEY_VARIABLE} is a better place for it: other users can read command lines"

COLUMNS = {
    "image": "paths, file names, ids or URLs",
    "label": "labels",
    "split": "splits; none: the splits are drawn",
    "group": "groups, such as patients or scenes, that no split may tear apart",
}
# Options about how the photos are found.
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


# Option → how argparse reads it. `add_options` adds them by name.
OPTIONS: dict[str, dict[str, Any]] = {
    "--data": {"type": Path, "required": True, "metavar": "FOLDER", "help": "folder of labelled photos"},
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
        "action": "append",
        "default": [],
        "metavar": "SECTION.KEY=VALUE",
        "help": "use this value instead of the file's, as in --set train.head.epochs=20; can be repeated",
    },
    "--weights": {
        "help": "instead of train.backbone.weights: imagenet, none, a .keras file, or registry:production"
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
        "default": Path("report/lint.csv"),
        "metavar": "FILE",
        "help": "findings about the photos (%(default)s)",
    },
    "--json": {"action": "store_true", "help": "print JSON to stdout, and everything else to stderr"},
}


class CommandParser(argparse.ArgumentParser):
    """An ArgumentParser that answers a mistyped option with the likely option or key of params.yaml."""

    sections: Sequence[str] = ()  # of params.yaml, that the command reads
    _words: Sequence[str] = ()  # the command line, for `error`

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **keywords})

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self._words = list(args or ())
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Print one sentence to stderr and exit with code 2."""
        names = [word.partition("=")[0] for word in self._words if word.startswith("--") and word != "--"]
        unknown = [name for name in names if name not in self.options()]
        sentence = f"{unknown[0]} is not an option; {self._remedy(unknown[0])}" if unknown else message
        self.exit(2, f"{self.prog}: {sentence}\n")

    def options(self) -> list[str]:
        """All options, those of subcommands included."""
        found = list(self._option_string_actions)
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                found += [option for parser in action.choices.values() for option in parser.options()]
        return found

    def _remedy(self, name: str) -> str:
        close = get_close_matches(name, self.options(), n=1, cutoff=0.75)
        if not close and self.sections:
            # Here, and in `params_of`: the image of `lenslet serve` has neither settings nor a YAML reader.
            from lenslet.config import Params
            from lenslet.config.overrides import dotted_keys, likely_keys

            sections = tuple(f"{section}." for section in self.sections)
            keys = [key for key in dotted_keys(Params) if key.startswith(sections)]
            close = [f"--set {key}=…" for key in likely_keys(name.lstrip("-").replace("-", "_"), keys)]
        return f"did you mean {' or '.join(close)}?" if close else f"`{self.prog} --help` lists the options"


def parser_for(command: str, document: str | None, sections: Sequence[str] = ()) -> CommandParser:
    """The parser of a command whose module has the docstring `document`.

    With `sections` of params.yaml, it has the options --params and --set.
    """
    description, _, details = (document or "").partition("\n\n")
    parser = CommandParser(
        prog=f"lenslet {command}",
        description=description,
        epilog=details,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if sections:
        parser.sections = sections
        add_options(parser, "--params", "--set")
    return parser


def add_options(parser: argparse.ArgumentParser, *names: str, **changes: Any) -> None:
    """Add the options of these names, with `changes` to how argparse reads them."""
    for name in names:
        parser.add_argument(name, **{**OPTIONS[name], **changes})


def params_of(arguments: argparse.Namespace) -> "Params":
    """All of params.yaml, as --params and --set say. Raises: ParamsError."""
    from lenslet.config import read_params

    return read_params(arguments.params, arguments.overrides)


def overrides_of(arguments: argparse.Namespace) -> dict[str, dict[str, str]]:
    """What --set replaced, as a section to be recorded with a run; nothing if it replaced nothing."""
    given = dict(override.split("=", 1) for override in arguments.overrides)
    return {"overrides": given} if given else {}


def whole_number(least: int, most: float = float("inf")) -> Callable[[str], int]:
    """The type of an option that takes a whole number from `least` to `most`."""

    def read(text: str) -> int:
        if text.isdecimal() and least <= int(text) <= most:
            return int(text)
        allowed = f"of at least {least}" if most == float("inf") else f"from {least} to {most}"
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number {allowed}")

    return read


def here_or_shipped(name: str) -> Path:
    """`name` in the current folder if it exists there, else the one that comes with Lenslet."""
    return Path(name) if Path(name).exists() else shipped(name)
