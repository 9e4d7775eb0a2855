"""Parsers of commands: one sentence for a mistyped option, --params and --set, and the types of values."""

import argparse
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from lenslet.commands.options import add_options, photo_place

if TYPE_CHECKING:
    from lenslet.config import Params

MAX_DIGITS = 18

# Options of former versions and of other tools → what they are called here.
RETIRED = {
    "--allow-leaks": "--leaks keep",
    "--strangers": "--ood",
    "--looks": "--windows",
    "--output": "--out",
    "--output-dir": "--out",
    "--dataset": "--data",
    "--data-dir": "--data",
    "--lr": "--set train.fine_tune.learning_rate=…",
    "--img-size": "--set train.image_size=…",
}


class CommandParser(argparse.ArgumentParser):
    """An ArgumentParser that answers a mistyped option with the likely option or key of params.yaml."""

    sections: Sequence[str] = ()  # of params.yaml, that the command reads
    _words: Sequence[str] = ()  # the command line, for `error`

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **keywords})

    def parse_args(  # type: ignore[override]
        self, args: Any = None, namespace: Any = None
    ) -> argparse.Namespace:
        """Raises: DatasetError for a place without photos, before the rooms that take seconds are imported."""
        arguments: argparse.Namespace = super().parse_args(args, namespace)
        self._check_sections(getattr(arguments, "overrides", ()))
        for action in self._actions:
            if action.type is photo_place and getattr(arguments, action.dest) is not None:
                from lenslet.dataset.layouts import check_place

                check_place(getattr(arguments, action.dest))
        return arguments

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        """Raises: ArgumentError also for an empty path, as of an unset variable: Path would mean the folder here."""
        if not arg_string.strip() and action.type in (Path, photo_place):
            raise argparse.ArgumentError(action, "the path is empty; write . for the current folder")
        return super()._get_value(action, arg_string)

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

    def _check_sections(self, overrides: Sequence[str]) -> None:
        """Refuse a --set of a section that the command does not read: it would change nothing."""
        others = [each for each in overrides if each.strip().partition(".")[0] not in self.sections]
        if not others:
            return
        from lenslet.config import Params

        for override in others:
            section = override.strip().partition(".")[0]
            if section in Params.__dataclass_fields__:  # anything else is said when the file is read
                self.error(
                    f"--set {override}: {self.prog} reads {' and '.join(self.sections)}, not {section}"
                )

    def _remedy(self, name: str) -> str:
        if (meant := RETIRED.get(name, "")).partition(" ")[0] in self.options():
            return f"use {meant}"
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


def params_of(arguments: argparse.Namespace) -> "Params":
    """All of params.yaml, as --params and --set say. Raises: ParamsError."""
    from lenslet.config.params import note_of_other_params, read_params

    if not arguments.params and (note := note_of_other_params()):
        print(note, file=sys.stderr)
    return read_params(arguments.params, arguments.overrides)


def overrides_of(arguments: argparse.Namespace) -> dict[str, dict[str, str]]:
    """The values of --set as a section to be recorded with a run; empty if there are none."""
    given = dict(override.split("=", 1) for override in arguments.overrides)
    return {"overrides": given} if given else {}


def whole_number(least: int, most: float = float("inf")) -> Callable[[str], int]:
    """The type of an option that takes a whole number from `least` to `most`."""

    def read(text: str) -> int:
        # Python reads no number of thousands of digits.
        if text.isdecimal() and len(text) <= MAX_DIGITS and least <= int(text) <= most:
            return int(text)
        allowed = f"of at least {least}" if most == float("inf") else f"from {least} to {most}"
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a whole number {allowed}")

    return read
