"""Output of the server that no request waits for: a thread writes it, and what nobody reads is dropped and counted."""

import contextlib
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from io import UnsupportedOperation
from typing import Any, TextIO

from lenslet.inference.printable import printable_lines

MAX_WAITING = 1 << 20  # characters: some thousand lines
DRAIN_S = 1.0  # at the end, for what is still to be written
LOST = '{{"level":"WARNING","message":"{count} pieces of the log were dropped, because nobody read it"}}\n'


class LogStream:
    """A text stream that never blocks: a pipe whose reader has stopped would else hold every request.

    For many threads. A write that fails (full disk, closed pipe) is the OSError of the next one.
    """

    def __init__(self, stream: TextIO, is_filtered: bool = False) -> None:
        """`is_filtered`: names in the text steer no terminal.

        Raises: OSError (io.UnsupportedOperation) if the stream has no file descriptor.
        """
        self._stream, self._descriptor, self._is_filtered = stream, stream.fileno(), is_filtered
        self._waiting: deque[str] = deque()
        self._characters = self._dropped = 0
        self._error: OSError | None = None
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def write(self, text: str) -> int:
        text = printable_lines(text) if self._is_filtered else text
        with self._changed:
            if self._characters + len(text) > MAX_WAITING:
                self._dropped += 1
            else:
                self._waiting.append(text)
                self._characters += len(text)
                self._changed.notify_all()
            if error := self._error:
                self._error = None
                raise error
        return len(text)

    def flush(self) -> None:
        """Nothing: the thread does it."""

    def drain(self, timeout_s: float = DRAIN_S) -> None:
        """Wait until all is written, or for `timeout_s`."""
        with self._changed:
            self._changed.wait_for(lambda: not self._characters, timeout_s)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                # One by one: lines of other processes, which write there too, may come between two of them only.
                text = self._waiting.popleft()
                lost = 0
                if not self._waiting:  # those came after the ones that waited
                    lost, self._dropped = self._dropped, 0
            error = self._written(text) or (self._written(LOST.format(count=lost)) if lost else None)
            with self._changed:
                self._characters -= len(text)
                self._error = error or self._error
                self._changed.notify_all()

    def _written(self, text: str) -> OSError | None:
        """Write to the descriptor: a buffer of Python's would be locked at the exit of the process."""
        data = text.encode(errors="backslashreplace")
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError as error:
            return error
        return None


class LogOutput:
    """Standard output and standard error as such streams, where they have descriptors."""

    def __init__(self) -> None:
        self._streams: dict[str, LogStream] = {}
        for name in ("stdout", "stderr"):
            with contextlib.suppress(
                UnsupportedOperation, AttributeError
            ):  # of a test, of a program without them
                # The lines of the log are JSON, which has its own escapes.
                self._streams[name] = LogStream(getattr(sys, name), is_filtered=name == "stderr")

    @contextmanager
    def used(self) -> Iterator[None]:
        """For the block, what is printed and logged goes there."""
        before = {name: getattr(sys, name) for name in self._streams}
        for name, stream in before.items():
            stream.flush()
            setattr(sys, name, self._streams[name])
        try:
            yield
        finally:
            end = time.monotonic() + DRAIN_S
            for name, stream in before.items():
                self._streams[name].drain(max(0.0, end - time.monotonic()))
                setattr(sys, name, stream)
