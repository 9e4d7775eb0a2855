"""Output of commands: JSON alone on stdout, and command lines that can be copied."""

import json
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from textwrap import indent
from typing import Any

from lenslet.inference.printable import printable


@contextmanager
def json_output(is_wanted: bool) -> Iterator[Callable[[Any], None]]:
    """A function that prints an answer as JSON to stdout; all else that is printed meanwhile goes to stderr.

    Unless JSON `is_wanted`, everything is printed as ever, and the function does nothing.
    """
    if not is_wanted:
        yield lambda answer: None
        return
    stdout = sys.stdout

    def print_json(answer: Any) -> None:
        if isinstance(answer, Iterator):  # a list, of which one item is in memory
            separator = "["
            for item in answer:
                print(f"{separator}\n{indent(json_text(item), '  ')}", file=stdout, end="")
                separator = ","
            print("\n]" if separator == "," else "[]", file=stdout, flush=True)
            return
        print(json_text(answer), file=stdout, flush=True)

    with redirect_stdout(sys.stderr):
        yield print_json


def json_text(answer: Any) -> str:
    """JSON in which letters of all languages can be read, and whatever steers a terminal is escaped."""
    text = json.dumps(answer, indent=2, ensure_ascii=False, default=_plain)
    if text.replace("\n", "").isprintable():
        return text
    return "".join(
        each if each == "\n" or printable(each) == each else json.dumps(each)[1:-1] for each in text
    )


def command_line(*words: object) -> str:
    """An indented command line that works as it is printed, quoted for a shell where that is needed.

    Where no `lenslet` is on the PATH, the interpreter that runs now is named. A path that begins with a dash would be
    taken for an option, and is written with ./ before it.
    """
    words = tuple(
        f"./{each}" if isinstance(each, Path) and str(each).startswith("-") else each for each in words
    )
    if words[0] == "lenslet" and not shutil.which("lenslet"):
        words = (sys.executable, "-m", *words)
    return "  " + shlex.join(map(str, words))


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays as Python's; paths and other things as text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
