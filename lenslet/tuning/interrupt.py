"""Ctrl-C during a search, remembered where a library swallows the exception."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interrupt_event() -> Iterator[threading.Event]:
    """Set once Ctrl-C was pressed. It raises KeyboardInterrupt as ever, but where that falls into a destructor or a
    library's callback, Python prints it and goes on: so it is asked for again after each trial. Where it falls into
    TensorFlow's conversions, a TypeError comes out, which is raised as KeyboardInterrupt once more.
    """
    pressed = threading.Event()

    def remember(number: int, frame: object) -> None:
        pressed.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, remember)
    try:
        yield pressed
    except Exception:
        if pressed.is_set():
            raise KeyboardInterrupt from None
        raise
    finally:
        signal.signal(signal.SIGINT, before)
