"""How much memory, and how many pieces, links may take: those of one request, and of all that are answered at once.

Apart from the fetcher, whose import takes 5 ms that a start without links does not need.
"""

import threading

from lenslet.inference.errors import LinkFailed, Overloaded, RequestTooLarge

MAX_BYTES_TOGETHER = 40 * 1024 * 1024  # of all links of one request: 2.5 MB for each of sixteen
# Of all requests: `lenslet serve` lets some wait for their links at the same time.
MAX_BYTES_OF_PROCESS = 2 * MAX_BYTES_TOGETHER
# Lines and pieces of all links of one request, which cost about 15 µs each: chunks of one byte would keep a processor
# busy until the timeout.
MAX_STEPS_TOGETHER = 100_000


class Budget:
    """Bytes that may be kept in memory at the same time; used by many threads."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._lock = threading.Lock()

    def take(self, count: int) -> bool:
        """Whether so many were left; then they are taken."""
        with self._lock:
            if count > self._left:
                return False
            self._left -= count
            return True

    def give_back(self, count: int) -> None:
        with self._lock:
            self._left += count


OF_PROCESS = Budget(MAX_BYTES_OF_PROCESS)


class Allowance:
    """The bytes that all links of one request, which are fetched concurrently, may keep in memory.

    The link that would exceed it is refused, and its bytes are free for the others.
    """

    def __init__(self) -> None:
        self._steps_left = MAX_STEPS_TOGETHER
        self._taken, self._is_over = 0, False
        self._lock = threading.Lock()

    def take(self, count: int) -> None:
        """Raises RequestTooLarge if fewer are left, Overloaded if the links of other requests have the memory."""
        with self._lock:
            if self._is_over:  # a thread whose link has timed out
                raise LinkFailed("the request has been answered")
            if self._taken + count > MAX_BYTES_TOGETHER:
                raise RequestTooLarge(
                    f"the request's links deliver more than {MAX_BYTES_TOGETHER:,} bytes together, the limit"
                )
            if not OF_PROCESS.take(count):
                raise Overloaded("links of other requests deliver too much at this moment; try again later")
            self._taken += count

    def take_step(self) -> None:
        """Count a line or a piece of an answer. Raises LinkFailed."""
        with self._lock:
            self._steps_left -= 1
            if self._steps_left < 0:
                raise LinkFailed(
                    f"the request's links answer in more than {MAX_STEPS_TOGETHER:,} pieces, the limit"
                )

    def give_back(self, count: int) -> None:
        with self._lock:
            if not self._is_over:
                self._taken -= count
                OF_PROCESS.give_back(count)

    def release(self) -> None:
        """Give all back: the request has been answered."""
        with self._lock:
            if not self._is_over:
                self._is_over = True
                OF_PROCESS.give_back(self._taken)
