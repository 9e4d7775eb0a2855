"""Names of files and classes, made safe for terminals, logs and pages."""

import os
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

ZERO_WIDTH_JOINER = "\u200d"  # part of many emoji


def printable(text: object) -> str:
    """`text` on one line without control characters and undecodable bytes.

    Control and formatting characters (an ANSI escape, a line break, a switch of the writing direction) become `\\x1b`
    and the like, bytes of a file name that are not UTF-8 become U+FFFD.
    """
    return "".join(_visible(character) for character in str(text))


def printable_lines(text: str, kept: str = "\n\t") -> str:
    """`text` with its lines and tabs, and otherwise as `printable` shows it."""
    return text if text.isprintable() else "".join(each if each in kept else _visible(each) for each in text)


class PrintableStream:
    """A text stream whose control characters and undecodable bytes are shown as `printable` shows them.

    Line ends and tabs stay; on standard error the carriage return of progress bars does, too.
    """

    def __init__(self, stream: TextIO, kept: str) -> None:
        self._stream, self._kept = stream, kept
        self.is_filtered = True

    def write(self, text: str) -> int:
        self._stream.write(printable_lines(text, self._kept) if self.is_filtered else text)
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class LastingStream(PrintableStream):
    """One that stops no work: once it cannot be written (full disk), that is said on standard error, and `is_lost`.

    A reader that has gone is another thing: BrokenPipeError ends the command, as it ends others.
    """

    is_lost = False

    def write(self, text: str) -> int:
        with self._lasting():
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with self._lasting():
            super().flush()

    @contextmanager
    def _lasting(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            self.is_lost = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())  # what is left to be written, too
            reason = error.strerror or error
            print(f"the output cannot be written ({reason}): the work goes on without it", file=sys.stderr)


@contextmanager
def printable_output(stdout_kind: type[PrintableStream] = LastingStream) -> Iterator[PrintableStream]:
    """For the block, whatever is printed, by whatever module, cannot steer the terminal. Gives standard output."""
    stdout, stderr = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = stdout_kind(stdout, "\n\t"), PrintableStream(stderr, "\n\t\r")
    try:
        yield sys.stdout
    finally:
        sys.stdout, sys.stderr = stdout, stderr


@contextmanager
def unfiltered_output() -> Iterator[None]:
    """For the block, standard output may move the cursor: for a progress bar that holds no name."""
    stream = sys.stdout
    if isinstance(stream, PrintableStream):
        stream.is_filtered = False
    try:
        yield
    finally:
        if isinstance(stream, PrintableStream):
            stream.is_filtered = True


def _visible(character: str) -> str:
    kind = unicodedata.category(character)
    if kind == "Cs":  # Python's stand-in for an undecodable byte: PEP 383
        return (
            "\ufffd"  # not \N{…}: compiling that loads a module, and Ctrl-C meanwhile would be a SyntaxError
        )
    if kind in ("Cc", "Cf", "Zl", "Zp") and character != ZERO_WIDTH_JOINER:
        return character.encode("unicode_escape").decode("ascii")
    return character
