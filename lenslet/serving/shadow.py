"""A candidate model that classifies a sample of the photos, for comparison: its answers reach no caller.

- LENSLET_SHADOW: path of the candidate's model folder. Not set or blank: none.
- LENSLET_SHADOW_SHARE: share of the default model's answers that are compared, above 0, at most 1; 0.05 if not set.

The candidate runs in a process of its own, one for each process of the service, when a processor has nothing else to
do. After an answer is ready, the sample's pixels go into a socket that keeps some of them; one that finds it full is
counted, and dropped. The candidate's process writes the comparisons into the log itself, so that no thread of the
service works for it: threads share one lock, and on a busy machine each exchange of it may take milliseconds.
"""

import json
import os
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lenslet.inference.artifact import Artifact, read_artifact
from lenslet.inference.classifier import Classifier
from lenslet.inference.errors import ArtifactError
from lenslet.serving.answer import Seen
from lenslet.serving.telemetry import Telemetry

DEFAULT_SHARE = 0.05
PAUSE_S = 60.0  # after a failure
# A candidate hangs that has taken nothing for so long, while so many samples were to be taken: Lambda halts all
# processes between two requests, so that time alone says nothing.
HANG_S, HANG_SAMPLES = 60.0, 100
BUFFER_BYTES = 1 << 20  # of the socket, if the system allows so much; about five pictures in the usual 208 KB
# What a candidate's process does: answer what comes through the socket.
Target = Callable[[Path, int, socket.socket], None]


class Sample(NamedTuple):
    """The pixels of a photo, and the label and probability that the served model answered with."""

    pixels: bytes
    label: str
    probability: float


class Shadow:
    """The way of the samples to the candidate's process, which is started, and replaced when it fails."""

    def __init__(
        self,
        folder: Path,
        size: int,
        share: float,
        report: Callable[[str], None],
        target: Target | None = None,
    ) -> None:
        """`size`: of the pictures of both models. `report` is called for each failure of the process."""
        self._folder, self._size, self._share = folder, size, share
        self._report, self._target = report, target or answer_samples
        self._skipped = 0  # counted without a lock, as below: a lost count is no harm
        self._refused, self._refused_since = 0, 0.0
        self._process: Any = None
        self._at_exit: Any = None
        self._lock = threading.Lock()
        self._channel: socket.socket | None = None
        self._start_soon()

    def draw(self, samples: list[Sample], seen: Seen) -> None:
        """Put what was answered among the samples of its request, if it is drawn."""
        if random.random() < self._share:  # noqa: S311
            samples.append(Sample(seen.pixels.tobytes(), *seen.best))

    def offer(self, samples: list[Sample], request_id: str | None) -> None:
        """Let the candidate answer them when it gets to it; never waits, and takes some 50 µs for each."""
        for sample in samples:
            self._offer(sample, request_id)

    def _offer(self, sample: Sample, request_id: str | None) -> None:
        channel = self._channel
        if not channel:  # it is starting, or has failed
            self._skipped += 1
            return
        about = [request_id, sample.label, sample.probability, self._skipped]
        try:
            channel.send(json.dumps(about).encode() + b"\n" + sample.pixels)
        except BlockingIOError:
            self._skip()
        except OSError as error:
            # Else it lives: pictures of 370 pixels are more than Linux's usual `net.core.wmem_max` lets through.
            has_ended = isinstance(error, ConnectionError)
            self._fail("" if has_ended else f"its socket takes no picture ({error.strerror})")
        else:
            self._skipped = self._refused = 0

    def _skip(self) -> None:
        """Count a sample that the candidate has no room for; it may hang."""
        now = time.monotonic()
        if not self._refused:
            self._refused_since = now
        self._skipped += 1
        self._refused += 1
        if self._refused >= HANG_SAMPLES and now - self._refused_since >= HANG_S:
            self._fail(f"it has taken no photo for {now - self._refused_since:.0f} s")

    def _fail(self, reason: str = "") -> None:
        """Replace the process, which has ended unless there is another reason."""
        with self._lock:
            channel, self._channel = self._channel, None
        if channel:  # else another thread has noticed, too
            self._refused = 0
            channel.close()
            self._start_soon(reason, self._process)

    def _start_soon(self, reason: str = "", former: Any = None) -> None:
        threading.Thread(target=self._start, args=(reason, former), daemon=True).start()

    def _start(self, reason: str, former: Any) -> None:
        # Imported here: it takes 10 ms, and only deployments with a candidate need it.
        from multiprocessing import get_context
        from multiprocessing.util import Finalize

        if former:
            if reason:
                former.kill()
            former.join()
            self._at_exit.cancel()
            self._report(reason or f"its process has ended with code {former.exitcode}")
            time.sleep(PAUSE_S)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # whole messages, or nothing
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        ours.setblocking(False)
        # A fork would copy locks that a thread of some library holds.
        self._process = get_context("spawn").Process(
            target=self._target, args=(self._folder, self._size, theirs), daemon=True
        )
        self._process.start()
        # Before `multiprocessing` asks it to end and waits: a process that is stopped would never.
        self._at_exit = Finalize(None, self._process.kill, exitpriority=1)
        theirs.close()
        self._channel = ours


def read_shadow(
    environment: Mapping[str, str], served: Artifact, report: Callable[[str], None]
) -> Shadow | None:
    """The shadow that the settings name, its process being started; None without one.

    Raises: ValueError if a setting is malformed, ArtifactError if the folder has no valid `model.json`, or one of
    another image size. What else is wrong with the candidate is its own failure, not the service's.
    """
    folder = environment.get("LENSLET_SHADOW", "").strip()
    text = environment.get("LENSLET_SHADOW_SHARE", "").strip()
    if not folder:
        if text:
            raise ValueError("LENSLET_SHADOW_SHARE needs LENSLET_SHADOW, the candidate's model folder")
        return None
    if sys.platform != "linux":
        raise ValueError("LENSLET_SHADOW needs Linux: other systems have no sockets of this kind")
    try:
        share = float(text) if text else DEFAULT_SHARE
    except ValueError:
        share = 0
    if not 0 < share <= 1:
        raise ValueError(f"LENSLET_SHADOW_SHARE takes a share above 0, at most 1, not {text!r}")
    try:
        size = read_artifact(Path(folder)).image_size
    except ArtifactError as error:
        raise ArtifactError(f"LENSLET_SHADOW: {error}") from error
    if size != served.image_size:
        raise ArtifactError(
            f"LENSLET_SHADOW: the candidate takes pictures of {size} pixels, the served model of {served.image_size}; "
            "only models of one size are compared while they serve: use lenslet evaluate"
        )
    return Shadow(Path(folder), size, share, report)


def answer_samples(folder: Path, size: int, channel: socket.socket) -> None:
    """The candidate's process: classify what comes, one picture at a time, and log it beside the served answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches it, too; the service ends it
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    telemetry = Telemetry(os.environ)
    try:
        classifier = Classifier.load(folder)
    except ArtifactError as error:
        telemetry.report_candidate(str(error))
        return
    room = size * size * 3 + (1 << 16)
    while message := channel.recv(room):  # nothing: the service has ended
        about, _, pixels = message.partition(b"\n")
        request_id, label, probability, skipped = json.loads(about)
        started = time.process_time()
        found = classifier.classify(np.frombuffer(pixels, np.uint8).reshape(size, size, 3)).ranked()[0]
        cpu_ms = (time.process_time() - started) * 1000
        version = classifier.artifact.version
        telemetry.record_comparison(request_id, (label, probability), found, version, cpu_ms, skipped)
