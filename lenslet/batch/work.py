"""One part after the other, on one processor: read ahead, decode, classify, write."""

import stat
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from lenslet.batch.formats import FORMATS
from lenslet.batch.outputs import Output
from lenslet.batch.plan import Part
from lenslet.batch.rows import Counts
from lenslet.dataset.lists import is_link
from lenslet.dataset.photos import DatasetError
from lenslet.dataset.remote import MAX_BYTES, StorageUnavailable, bucket_client, read_link
from lenslet.inference.artifact import Artifact
from lenslet.inference.budget import bound_freed_memory
from lenslet.inference.classifier import Classifier
from lenslet.inference.decode import decode
from lenslet.inference.errors import LensletError
from lenslet.serving.batch_plan import BatchPlan, Source
from lenslet.serving.batch_rows import AnswerRow, row_of

# Photos whose bytes are read before their turn: from a disk, and over a network, where each takes 10 to 100 ms.
AHEAD, LINKS_AHEAD = 4, 32

Report = Callable[[int, int], None]  # photos done since the last call, and how many of them failed


@dataclass(frozen=True)
class Job:
    """All that a worker needs, on this machine or another one. The model is held, so that no new one gets in."""

    model: bytes = field(repr=False)
    artifact: Artifact
    plan: BatchPlan
    output: Output


class PartWorker:
    """Classifies parts with a model that is loaded once. For one process."""

    def __init__(self, job: Job) -> None:
        bound_freed_memory()
        self.job = job
        self.classifier = Classifier(job.model, job.artifact)
        self._readers = ThreadPoolExecutor(LINKS_AHEAD)

    @cached_property
    def _client(self) -> Any:
        return bucket_client()

    def run(self, part: Part, report: Report = lambda photos, failed: None) -> Counts:
        """Classify the photos of a part and write it.

        Raises: OSError, InputError if it cannot be written; StorageUnavailable.
        """
        counts, plan = Counts(), self.job.plan

        def counted() -> Iterator[AnswerRow]:
            for row in self.rows(part.sources):
                counts.add(row)
                report(1, bool(row.error))
                yield row

        write = FORMATS[plan.format].write
        self.job.output.write(plan.part_name(part.number), lambda path: write(path, plan.labels, counted()))
        return counts

    def rows(self, sources: list[Source]) -> Iterator[AnswerRow]:
        """The answers in the order of `sources`."""
        waiting: deque[tuple[Source, Future[bytes | str]]] = deque()
        try:
            for source in sources:
                waiting.append((source, self._readers.submit(self._read, source)))
                if len(waiting) > (LINKS_AHEAD if is_link(source.place) else AHEAD):
                    yield self._row(*waiting.popleft())
            while waiting:
                yield self._row(*waiting.popleft())
        finally:
            for _, data in waiting:  # of a part that is given up
                data.cancel()

    def _read(self, source: Source) -> bytes | str:
        """The bytes of a photo, or why there are none. Raises: StorageUnavailable."""
        if source.error:
            return source.error
        try:
            if is_link(source.place):
                return read_link(source.place, lambda: self._client)
            return _read_file(Path(source.place))
        except StorageUnavailable:
            raise
        except DatasetError as error:
            return str(error)
        except (OSError, ValueError) as error:  # ValueError: a null character in the name
            return f"the file cannot be read: {getattr(error, 'strerror', None) or error}"

    def _row(self, source: Source, data: Future[bytes | str]) -> AnswerRow:
        read = data.result()
        if isinstance(read, str):
            return AnswerRow(source.name, error=read)
        try:
            pixels = decode(read, self.job.artifact.image_size)
            return row_of(source.name, self.classifier.classify(pixels))
        except LensletError as error:
            return AnswerRow(source.name, error=str(error))


def _read_file(path: Path) -> bytes:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for, and /dev/zero read without end
        raise DatasetError("it is no regular file")
    if found.st_size > MAX_BYTES:
        raise DatasetError(f"it is larger than {MAX_BYTES:,} bytes, and no photo")
    return path.read_bytes()
