"""A candidate model that classifies a sample of the photos, for comparison: its answers reach no caller.

- LENSLET_SHADOW: path of the candidate's model folder. Not set or blank: none.
- LENSLET_SHADOW_SHARE: share of the default model's answers that are compared, above 0, at most 1; 0.05 if not set.

The candidate runs in a process of its own, one for each process of the service, at the lowest priority. After an answer
is ready, its sample goes into a short queue, and nobody waits for it. A candidate that crashes, or takes more than
`TIMEOUT_S` for a photo, is started anew after `PAUSE_S`; samples that find the queue full are counted, and dropped.
"""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from queue import Full, Queue
from typing import TYPE_CHECKING, Any, NamedTuple

from lenslet.inference.artifact import Artifact, read_artifact
from lenslet.inference.classifier import Classifier
from lenslet.inference.decode import decode
from lenslet.inference.errors import ArtifactError, LensletError
from lenslet.serving.answer import Seen
from lenslet.serving.formats import read_formats

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

DEFAULT_SHARE = 0.05
# For a photo, and for the start. At its priority, and on a busy machine, milliseconds of work may take a minute.
TIMEOUT_S, START_TIMEOUT_S = 60.0, 600.0
PAUSE_S = 60.0  # after a failure
# Lambda halts all processes between two requests: a wait is counted in steps, so that a pause ends one of them at most.
STEP_S = 0.25
# Of pixels, 77 kB for a picture of 160 × 160. Of files one: each may have 20 MB.
MAX_WAITING, MAX_FILES_WAITING = 16, 1


class Compared(NamedTuple):
    """The candidate's answer to a sample."""

    label: str
    probability: float
    cpu_ms: float


class Comparison(NamedTuple):
    """A sample with both answers."""

    request_id: str | None
    label: str
    probability: float
    candidate: Compared
    version: str  # of the candidate
    skipped: int  # samples before this one that were dropped


class CandidateFailed(Exception):
    """The candidate crashed, hung, or cannot be loaded; the message says which."""


# Answers what comes through a pipe, (is it pixels, bytes), until the pipe is closed. Its first message is "" or the
# reason why it cannot start.
Target = Callable[[Path, int, "Connection"], None]


@dataclass(frozen=True)
class Sample:
    """A photo and the served model's answer to it."""

    is_pixels: bool
    data: bytes  # of the pixels, or of the photo's file
    label: str
    probability: float


class Shadow:
    """The queue of samples and the thread that hands them to the candidate's process."""

    def __init__(
        self,
        folder: Path,
        candidate: Artifact,
        served: Artifact,
        share: float,
        record: Callable[[Comparison], None],
        report: Callable[[Exception], None],
        target: Target | None = None,
    ) -> None:
        """`record` and `report` are called in the thread, for each comparison and for each failure."""
        self._folder, self._candidate, self._share = folder, candidate, share
        self._record, self._report, self._target = record, report, target or answer_samples
        self._takes_pixels = candidate.image_size == served.image_size
        self._waiting: Queue[tuple[Sample, str | None]] = Queue(
            MAX_WAITING if self._takes_pixels else MAX_FILES_WAITING
        )
        self._skipped = 0  # counted without a lock: a lost count is no harm
        threading.Thread(target=self._run, name="shadow", daemon=True).start()

    def draw(self, samples: list[Sample], seen: Seen) -> None:
        """Put what was answered among the samples of its request, if it is drawn."""
        if random.random() < self._share:  # nosec B311
            data = seen.pixels.tobytes() if self._takes_pixels else seen.photo
            samples.append(Sample(self._takes_pixels, data, *seen.best))

    def offer(self, samples: list[Sample], request_id: str | None) -> None:
        """Let the candidate answer them when it gets to it; never waits."""
        for sample in samples:
            try:
                self._waiting.put_nowait((sample, request_id))
            except Full:
                self._skipped += 1

    def _run(self) -> None:
        while True:
            try:
                self._compare()
            except CandidateFailed as error:
                self._report(error)
            time.sleep(PAUSE_S)

    def _compare(self) -> None:
        """Start the candidate, and give it the samples until it fails. Raises: CandidateFailed."""
        # Imported here: it takes 10 ms, and only deployments with a candidate need it.
        from multiprocessing import get_context

        spawn = get_context("spawn")  # a fork would copy locks that a thread of some library holds
        pipe, theirs = spawn.Pipe()
        process = spawn.Process(
            target=self._target, args=(self._folder, self._candidate.image_size, theirs), daemon=True
        )
        process.start()
        theirs.close()
        try:
            reason = _receive(pipe, START_TIMEOUT_S)
            if reason:
                raise CandidateFailed(reason)
            while True:
                sample, request_id = self._waiting.get()
                pipe.send((sample.is_pixels, sample.data))
                found = _receive(pipe, TIMEOUT_S)
                if found is not None:  # None: another size of the picture, too costly a file
                    self._record(self._comparison(sample, request_id, Compared(*found)))
        except (EOFError, OSError) as error:
            process.join(STEP_S)
            if process.exitcode == -signal.SIGTERM:  # as the service ends
                return
            raise CandidateFailed(f"its process ended with code {process.exitcode}") from error
        finally:
            process.kill()
            process.join()
            pipe.close()

    def _comparison(self, sample: Sample, request_id: str | None, found: Compared) -> Comparison:
        skipped, self._skipped = self._skipped, 0
        return Comparison(
            request_id, sample.label, sample.probability, found, self._candidate.version, skipped
        )


def read_shadow(
    environment: Mapping[str, str],
    served: Artifact,
    record: Callable[[Comparison], None],
    report: Callable[[Exception], None],
) -> Shadow | None:
    """The shadow that the settings name, its process being started; None without one.

    Raises: ValueError if a setting is malformed; ArtifactError if the folder has no valid `model.json`. What else is
    wrong with the candidate is its own failure, not the service's.
    """
    folder = environment.get("LENSLET_SHADOW", "").strip()
    text = environment.get("LENSLET_SHADOW_SHARE", "").strip()
    if not folder:
        if text:
            raise ValueError("LENSLET_SHADOW_SHARE needs LENSLET_SHADOW, the candidate's model folder")
        return None
    try:
        share = float(text) if text else DEFAULT_SHARE
    except ValueError:
        share = 0
    if not 0 < share <= 1:
        raise ValueError(f"LENSLET_SHADOW_SHARE takes a share above 0, at most 1, not {text!r}")
    try:
        candidate = read_artifact(Path(folder))
    except ArtifactError as error:
        raise ArtifactError(f"LENSLET_SHADOW: {error}") from error
    return Shadow(Path(folder), candidate, served, share, record, report)


def answer_samples(folder: Path, size: int, pipe: "Connection") -> None:
    """The candidate's process: classify what comes, one at a time."""
    import numpy as np

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches it, too; the service ends it
    _take_the_lowest_priority()
    try:
        classifier = Classifier.load(folder)
    except ArtifactError as error:
        pipe.send(str(error))
        return
    pipe.send("")
    while True:
        try:
            is_pixels, data = pipe.recv()
        except EOFError:
            return
        started = time.process_time()
        try:
            pixels = (
                np.frombuffer(data, np.uint8).reshape(size, size, 3)
                if is_pixels
                else decode(data, size, read_formats(os.environ))
            )
        except LensletError:
            pipe.send(None)
            continue
        label, probability = classifier.classify(pixels).ranked()[0]
        pipe.send((label, probability, (time.process_time() - started) * 1000))


def _take_the_lowest_priority() -> None:
    if hasattr(os, "SCHED_IDLE"):  # only when a processor has nothing else to do
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    elif hasattr(os, "nice"):
        os.nice(19)


def _receive(pipe: "Connection", timeout_s: float) -> Any:
    """The next message. Raises: CandidateFailed after the timeout, EOFError if the process has ended."""
    for _ in range(int(timeout_s / STEP_S)):
        if pipe.poll(STEP_S):
            return pipe.recv()
    raise CandidateFailed(f"it did not answer within {timeout_s:g} s")
