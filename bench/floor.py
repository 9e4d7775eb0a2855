"""Decoding and inference alone, on all processors: the upper bound that `bench.load` compares the server with."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from pathlib import Path

from lenslet.inference.classifier import Classifier
from lenslet.inference.decode import decode
from lenslet.inference.processors import processors

PROCESSORS = processors()


@contextmanager
def inference_only(model: Path, photos: list[bytes]) -> Iterator[Callable[[float], float]]:
    """Processes that are ready, one for each processor. Gives: seconds to work → photos a second, all together."""
    with ExitStack() as stack:
        # A pool for each: one pool might give two tasks to one process.
        pools = [stack.enter_context(ProcessPoolExecutor(1, get_context("spawn"))) for _ in range(PROCESSORS)]

        def work(seconds: float) -> float:
            rates = [pool.submit(photos_a_second, model, photos, seconds) for pool in pools]
            return sum(rate.result() for rate in rates)

        work(0.1)  # their imports
        yield work


def photos_a_second(model: Path, photos: list[bytes], seconds: float) -> float:
    """Decode and classify on one thread, over and over."""
    classifier = Classifier.load(model)
    size, count = classifier.artifact.image_size, 0
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        classifier.classify(decode(photos[count % len(photos)], size))
        count += 1
    return count / (time.perf_counter() - started)
