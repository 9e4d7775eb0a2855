"""What a server does while a request waits for its links: it may let another request have the worker meanwhile."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

# Of the thread that answers a request. On Lambda, which answers one request at a time, nothing.
_pause: ContextVar[Callable[[], AbstractContextManager[None]]] = ContextVar("pause", default=nullcontext)


@contextmanager
def pausing(pause: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    """Enter `pause()` whenever this thread waits for links."""
    token = _pause.set(pause)
    try:
        yield
    finally:
        _pause.reset(token)


def waiting_for_links() -> AbstractContextManager[None]:
    """The context in which links are waited for. Raises Overloaded on entry, if too many requests do that already."""
    return _pause.get()()
