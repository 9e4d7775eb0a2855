"""Print a script that lets a shell complete commands, options, choices and file names.

    lenslet completion bash > ~/.local/share/bash-completion/completions/lenslet
    lenslet completion zsh > "${fpath[1]}/_lenslet"
    lenslet completion fish > ~/.config/fish/completions/lenslet.fish

The script is static: completing runs no Python. Print it again after an update. Needs the package shtab.
"""

import argparse
from importlib import import_module
from pathlib import Path

from lenslet.commands.parser import CommandParser, parser_for
from lenslet.commands.table import COMMANDS
from lenslet.inference.errors import InputError


def main(argv: list[str] | None = None) -> int:
    arguments = make_parser().parse_args(argv)
    try:
        import shtab
    except ModuleNotFoundError:
        raise InputError("completion needs the package shtab: `pip install shtab`") from None

    parser = whole_parser()
    mark_paths(parser, shtab.FILE)
    script = shtab.complete(parser, shell=arguments.shell)
    print(script)
    return 0


def make_parser() -> CommandParser:
    parser = parser_for("completion", __doc__)
    parser.add_argument("shell", choices=["bash", "zsh", "fish"])
    return parser


def whole_parser() -> CommandParser:
    """One parser with all commands."""
    whole = CommandParser(prog="lenslet")
    whole.add_argument("--version", action="store_true", help="print the version")
    subparsers = whole.add_subparsers()
    for name, line in COMMANDS.items():
        parser: CommandParser = import_module(f"lenslet.commands.{name}").make_parser()
        subparsers.add_parser(name, help=line, parents=[parser], add_help=False)
    return whole


def mark_paths(parser: argparse.ArgumentParser, completer: object) -> None:
    """Let options and arguments that take paths complete file names."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                mark_paths(child, completer)
        elif action.type is Path:
            action.complete = completer  # type: ignore[attr-defined]  # shtab's convention
