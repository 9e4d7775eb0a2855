"""Admission control: some requests are answered, some more wait, and the rest is refused at once."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import anyio

from lenslet.inference.errors import Overloaded

WAIT_TIMEOUT_S = 5.0  # for a worker; two links that stall keep two workers busy for ten seconds


class AdmissionControl:
    """Counts the requests of one process; used by its event loop alone."""

    def __init__(self, workers: int, waiting: int) -> None:
        """Admit `workers` requests to be answered at the same time, and `waiting` more."""
        self.workers = workers
        self._free_places = workers + waiting
        self._free_workers = asyncio.Semaphore(workers)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Admit one request; entered before its body is read, so that bodies have bounded memory.

        Raises: Overloaded.
        """
        if not self._free_places:
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
