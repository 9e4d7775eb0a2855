"""Progress of long work: a bar on a terminal, a line now and then in a log."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from lenslet.batch.work import Report

LOG_S = 60.0  # between two lines


@contextmanager
def progress(photos: int, done: int) -> Iterator[Report]:
    """A function that takes photos done since its last call, and failures among them.

    `done`: of the `photos`, those that an earlier run has classified.
    """
    if not sys.stderr.isatty():
        yield _Log(photos, done)
        return
    failures = 0
    with tqdm(total=photos, initial=done, desc="classifying", unit=" photos", leave=False) as bar:

        def report(more: int, failed: int) -> None:
            nonlocal failures
            failures += failed
            bar.set_postfix_str(f"{failures:,} failed", refresh=False)
            bar.update(more)

        yield report


class _Log:
    def __init__(self, photos: int, done: int) -> None:
        self.photos, self.before, self.done, self.failures = photos, done, done, 0
        self.started_s = self.said_s = time.monotonic()

    def __call__(self, more: int, failed: int) -> None:
        self.done += more
        self.failures += failed
        if time.monotonic() - self.said_s >= LOG_S:
            self.said_s = time.monotonic()
            rate = (self.done - self.before) / (self.said_s - self.started_s)
            left = duration((self.photos - self.done) / rate) if rate > 0 else "unknown"
            print(
                f"{self.done:,} of {self.photos:,} photos, {rate:,.0f}/s, {left} left, {self.failures:,} failed",
                file=sys.stderr,
                flush=True,
            )


def duration(seconds: float) -> str:
    """As "1 d 3 h", "2 h 05 min", "7 min" or "40 s"."""
    minutes = round(seconds / 60)
    if seconds < 60:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"
