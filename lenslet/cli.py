"""The command line: `lenslet <command>`, a table of commands, each in a module of `lenslet.commands`.

A command's module is imported when it is called, so that the table and mistyped names answer at once.
"""

import argparse
import os
import sys
from difflib import get_close_matches
from importlib import import_module

import lenslet

# Command → one line about it, in the order of a model's life. Its module is `lenslet.commands.<command>`.
COMMANDS = {
    "lint": "find copies, leaks, odd sizes, rare classes and doubtful labels in a folder of photos",
    "train": "train a classifier on a folder of labelled photos",
    "tune": "search for a learning rate and for the head's settings",
    "average": "average the weights of two trained networks",
    "convert": "calibrate a trained model, convert it to TFLite and check it in the serving runtime",
    "evaluate": "measure a model on test photos and write a report",
    "explain": "draw what a prediction for one photo rests on",
    "gate": "decide by its figures whether a model may be released",
    "register": "keep released models under numbers, and promote them",
    "predict": "classify photos on this computer, without a server",
    "serve": "serve a model over HTTP",
    "test": "smoke check of a running endpoint",
    "accept": "acceptance test of a running endpoint with labelled photos",
    "label": "choose photos to label, send them to Label Studio, get the annotations back",
    "drift": "compare what an endpoint answered with the reference of its model, without labels",
}


def main(argv: list[str] | None = None) -> int:
    """Run a command. Returns its exit code: 0 done, 1 a check failed, 2 bad input, 130 stopped by Ctrl-C."""
    words = sys.argv[1:] if argv is None else argv
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return 0 if words else 2
    if words[0] in ("-V", "--version"):
        print(f"lenslet {lenslet.__version__}")
        return 0
    name, *rest = words
    if name not in COMMANDS:
        close = get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {close[0]}?" if close else "`lenslet --help` lists the commands"
        print(f"lenslet: unknown command {name!r}; {hint}", file=sys.stderr)
        return 2
    # Before a command loads TensorFlow: its notices would drown progress bars and tables.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    code: int = import_module(f"lenslet.commands.{name}").main(rest)
    return code


def overview() -> str:
    width = max(map(len, COMMANDS))
    rows = "\n".join(f"  {name:<{width}}  {line}" for name, line in COMMANDS.items())
    return f"usage: lenslet <command> [options]\n\n{rows}\n\n`lenslet <command> --help` explains each one."


def parser_for(command: str, document: str | None) -> argparse.ArgumentParser:
    """The parser of a command whose module has the docstring `document`."""
    description, _, details = (document or "").partition("\n\n")
    return argparse.ArgumentParser(
        prog=f"lenslet {command}",
        description=description,
        epilog=details,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
