"""Command line and progress line of every bench."""

import argparse
import sys


def bench_parser(name: str, document: str | None) -> argparse.ArgumentParser:
    """The parser of `python -m bench.NAME`, whose module has the docstring `document`."""
    description, _, details = (document or "").partition("\n\n")
    return argparse.ArgumentParser(
        prog=f"python -m bench.{name}",
        description=description,
        epilog=details,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def progress(message: str) -> None:
    """One line that overwrites itself where somebody watches, lines of their own elsewhere."""
    if sys.stderr.isatty():
        print(f"\r\033[K{message}", end="", file=sys.stderr, flush=True)
    elif message:
        print(message, file=sys.stderr, flush=True)


def tail(text: str) -> str:
    """The last five lines."""
    return "\n".join(text.strip().splitlines()[-5:])


def at_least_one(text: str) -> int:
    """For argparse: a whole number, 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def at_least_none(text: str) -> int:
    """For argparse: a whole number, 0 or more."""
    return 0 if text == "0" else at_least_one(text)
