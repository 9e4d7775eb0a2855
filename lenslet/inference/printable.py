"""Names of files and classes, made safe for terminals, logs and pages."""

import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO


def printable(text: object) -> str:
    """`text` on one line without control characters and undecodable bytes.

    Control and formatting characters (an ANSI escape, a line break, a switch of the writing direction) become `\\x1b`
    and the like, bytes of a file name that are not UTF-8 become U+FFFD.
    """
    return "".join(_visible(character) for character in str(text))


class PrintableStream:
    """A text stream whose control characters and undecodable bytes are shown as `printable` shows them.

    Line ends and tabs stay; on standard error the carriage return of progress bars does, too.
    """

    def __init__(self, stream: TextIO, kept: str) -> None:
        self._stream, self._kept = stream, kept

    def write(self, text: str) -> int:
        self._stream.write(text if text.isprintable() else self._shown(text))
        return len(text)

    def _shown(self, text: str) -> str:
        return "".join(each if each in self._kept else _visible(each) for each in text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def printable_output() -> Iterator[None]:
    """For the block, whatever is printed, by whatever module, cannot steer the terminal."""
    stdout, stderr = sys.stdout, sys.stderr
    sys.stdout = PrintableStream(stdout, "\n\t")
    sys.stderr = PrintableStream(stderr, "\n\t\r")
    try:
        yield
    finally:
        sys.stdout, sys.stderr = stdout, stderr


def _visible(character: str) -> str:
    kind = unicodedata.category(character)
    if kind == "Cs":  # Python's stand-in for an undecodable byte: PEP 383
        return "\N{REPLACEMENT CHARACTER}"
    if kind in ("Cc", "Cf", "Zl", "Zp") and character != "\N{ZERO WIDTH JOINER}":
        return character.encode("unicode_escape").decode("ascii")
    return character
