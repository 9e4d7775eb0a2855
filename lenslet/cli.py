"""The command line: `lenslet <command>`, each a module of `lenslet.commands`, which `table` lists.

A command's module is imported when the command is called, and imports its rooms when it runs, so that the table,
`--help` and mistyped words are answered at once.
"""

import logging
import os
import sys
from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module

import lenslet
from lenslet.commands.table import COMMANDS
from lenslet.inference.elsewhere import where_it_is
from lenslet.inference.errors import InputError, LensletError
from lenslet.inference.printable import LastingStream, PrintableStream, printable, printable_output

USAGE = """usage: lenslet <command> [options]

From a folder of labelled photos to a served classifier, in the order of a model's life:

{rows}

`lenslet <command> --help` explains each one; `lenslet --version` prints the version.
Exit codes: 0 done, 1 a check failed, 2 bad input, 130 stopped by Ctrl-C."""


def main(argv: list[str] | None = None) -> int:
    """Run a command. Returns its exit code."""
    words = sys.argv[1:] if argv is None else argv
    # `lenslet serve` answers without a log, and says that itself.
    kind = PrintableStream if words[:1] == ["serve"] else LastingStream
    try:
        with printable_output(kind) as output:
            code = dispatch(words)
            output.flush()
    except KeyboardInterrupt:  # before or after a command's work, which says what it keeps
        print("\nlenslet: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of the output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 2 if code == 0 and isinstance(output, LastingStream) and output.is_lost else code


def dispatch(words: list[str]) -> int:
    if not words:
        print(overview(), file=sys.stderr)
        return 2
    if words[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if words[0] in ("-V", "--version"):
        print(f"lenslet {lenslet.__version__}")
        return 0
    name, *rest = words
    if name not in COMMANDS:
        close = get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {close[0]}?" if close else "`lenslet --help` lists the commands"
        print(f"lenslet: unknown command {name!r}; {hint}", file=sys.stderr)
        return 2
    return run_command(name, rest)


def overview() -> str:
    width = max(map(len, COMMANDS))
    return USAGE.format(rows="\n".join(f"  {name:<{width}}  {line}" for name, line in COMMANDS.items()))


def run_command(name: str, words: list[str]) -> int:
    """Run one command. Every expected failure becomes one sentence on stderr, and an exit code."""
    # Here, before any room can load TensorFlow: its notices would drown what commands print.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Also its advice to trace functions less often, which concerns no one who runs a command.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    module = None
    try:
        module = import_module(f"lenslet.commands.{name}")
        code: int = module.main(words)
    except ModuleNotFoundError as error:
        if not error.name or error.name.partition(".")[0] == "lenslet":
            raise
        remedy = "the extra `train` brings all that commands need: pip install 'lenslet[train]'"
        print(f"lenslet {name}: the package {error.name!r} is not installed; {remedy}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        # Says which work is kept, and how to continue it.
        after: Callable[[list[str]], str] = getattr(module, "AFTER_CTRL_C", lambda words: "")
        note = after(words)
        print(f"\nlenslet {name}: stopped{note}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        raise
    except (InputError, LensletError, OSError) as error:
        print(f"lenslet {name}: {sentence(error)}", file=sys.stderr)
        return 2
    return code


def sentence(error: Exception) -> str:
    """The text of an error for the terminal: names of files and classes in it may hold escape sequences."""
    text = str(error).strip()
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    return printable(text + where_it_is(text))
