"""Admission control: some requests are answered, some more wait, and the rest is refused at once."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import asynccontextmanager, contextmanager, suppress
from threading import BoundedSemaphore

import anyio

from lenslet.inference.errors import Overloaded

WAIT_TIMEOUT_S = 5.0  # for a worker
# Requests of one process that wait for links at the same time: a link that stalls takes a thread for ten seconds.
MAX_WAITING_FOR_LINKS = 16
LOOK_S = 0.5  # whether the event loop still runs


class AdmissionControl:
    """Counts the requests of one process; used by its event loop alone."""

    def __init__(self, workers: int, waiting: int) -> None:
        """Admit `workers` requests to be answered at the same time, and `waiting` more."""
        self.workers = workers
        self._free_places = workers + waiting
        self._free_workers = asyncio.Semaphore(workers)
        self._link_places = BoundedSemaphore(int(MAX_WAITING_FOR_LINKS))

    @property
    def threads(self) -> int:
        """How many threads its requests may occupy."""
        return self.workers + int(MAX_WAITING_FOR_LINKS)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Admit one request; entered before its body is read, so that bodies have bounded memory.

        Raises: Overloaded.
        """
        if self._free_places <= 0:  # below: requests that have come back from their links
            raise Overloaded("too many requests are waiting already; try again later")
        self._free_places -= 1
        try:
            yield
        finally:
            self._free_places += 1

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[None]:
        """Wait for a worker. Raises Overloaded if none is free in time."""
        try:
            with anyio.fail_after(WAIT_TIMEOUT_S):  # `asyncio.wait_for` would make a task for each request
                await self._free_workers.acquire()
        except TimeoutError as error:
            raise Overloaded(f"no worker was free within {WAIT_TIMEOUT_S:g} s; try again later") from error
        try:
            yield
        finally:
            self._free_workers.release()

    @contextmanager
    def waiting_for_links(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        """Give place and worker to others meanwhile; entered by the thread that answers, and not by the event loop.

        Raises: Overloaded, if too many requests wait for links.
        """
        if not self._link_places.acquire(blocking=False):
            raise Overloaded("too many requests are waiting for their links already; try again later")
        try:
            loop.call_soon_threadsafe(self._leave)
            try:
                yield
            finally:
                coming = asyncio.run_coroutine_threadsafe(self._come_back(), loop)
                while not coming.done() and loop.is_running():
                    with suppress(FutureTimeout):
                        coming.result(LOOK_S)
        finally:
            self._link_places.release()

    def _leave(self) -> None:
        self._free_places += 1
        self._free_workers.release()

    async def _come_back(self) -> None:
        self._free_places -= 1
        await self._free_workers.acquire()
