"""Parsers of commands: one sentence for a mistyped option, --params and --set, and the types of values."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from lenslet.commands.hints import likely_choice, positional, remedy, unknown_options
from lenslet.commands.options import add_options, photo_place

if TYPE_CHECKING:
    from lenslet.config import Params

MAX_DIGITS = 18
ALONE = ("--data", "--model")  # for a word that stands without an option where there should be none


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
        self.exit(2, f"{self.prog}: {self._sentence(message)}\n")

    def _sentence(self, message: str) -> str:
        options, place = self.options(), positional(self)
        if unknown := unknown_options(self._words, options):
            help_line = f"`{self.prog} --help` lists the options"
            return f"{unknown[0]} is not an option; {remedy(unknown[0], options, self.sections, place) or help_line}"
        alone = next(iter(self._words), "-")
        if not place and not alone.startswith("-"):
            option = next((each for each in ALONE if each in options), "")
            return f"{alone} stands without an option; did you mean {option} {alone}?" if option else message
        return message + likely_choice(message)

    def options(self) -> list[str]:
        """All options, those of subcommands included."""
        found = list(self._option_string_actions)
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                found += [option for parser in action.choices.values() for option in parser.options()]
        return found

    def _check_sections(self, overrides: Sequence[str]) -> None:
        """Refuse a --set of a section that the command does not read: it would change nothing."""
        others = [each for each in overrides if section_of(each) not in self.sections]
        if not others:
            return
        from lenslet.config import Params

        for override in others:
            section = section_of(override)
            if section in Params.__dataclass_fields__:  # anything else is said when the file is read
                self.error(
                    f"--set {override}: {self.prog} reads {' and '.join(self.sections)}, not {section}"
                )


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


def section_of(override: str) -> str:
    """The section of params.yaml that a value of --set is in, or replaces."""
    return override.partition("=")[0].partition(".")[0]


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
