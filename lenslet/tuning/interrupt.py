"""Ctrl-C during a search, remembered where a library swallows the exception."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interrupt_event() -> Iterator[threading.Event]:
    """An event that is set by SIGINT, for as long as the block lasts; SIGINT raises KeyboardInterrupt as usual.

    Python prints and drops an exception that is raised in a destructor or in a library's callback, so the caller checks
    the event after each trial. TensorFlow's conversions turn KeyboardInterrupt into TypeError: any exception after
    SIGINT leaves the block as KeyboardInterrupt.
    """
    pressed = threading.Event()

    def handle(number: int, frame: object) -> None:
        pressed.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield pressed
    except Exception:
        if pressed.is_set():
            raise KeyboardInterrupt from None
        raise
    finally:
        signal.signal(signal.SIGINT, before)
