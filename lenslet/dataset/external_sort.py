"""External merge sort: more items than should be in memory at once, in order."""

import heapq
import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from tempfile import TemporaryFile
from typing import IO

CHUNK = 50_000  # items in memory

Item = tuple[str, bool, bool]


def sorted_on_disk(items: Iterable[Item], chunk: int = CHUNK) -> Iterator[Item]:
    """The items, sorted; all but the last `chunk` of them wait in temporary files. Raises: OSError."""
    source = iter(items)
    with ExitStack() as files:
        runs: list[Iterable[Item]] = []
        run = sorted(islice(source, chunk))
        while len(run) == chunk:
            file = files.enter_context(TemporaryFile("w+", encoding="ascii"))
            file.writelines(f"{json.dumps(item)}\n" for item in run)
            file.seek(0)
            runs.append(_items_of(file))
            run = sorted(islice(source, chunk))
        yield from heapq.merge(*runs, run)


def _items_of(file: IO[str]) -> Iterator[Item]:
    for line in file:
        text, first, second = json.loads(line)
        yield text, first, second
