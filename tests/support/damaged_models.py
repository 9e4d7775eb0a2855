"""Damaged copies of a TFLite file, and how a process ends that loads one and runs it."""

import os
import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from lenslet.inference.artifact import Artifact, sha256_of
from lenslet.inference.classifier import Classifier
from lenslet.inference.errors import ArtifactError

HEAD_BYTES, TAIL_BYTES = 1500, 38_000  # where the structure of the shipped file lies; weights are between


def damaged_copies(model: bytes, count: int) -> Iterator[bytes]:
    """Of each kind the same number; always the same copies."""
    chance = random.Random(19)
    kinds: list[Callable[[random.Random, bytearray], None]] = [_flip, _flips, _number, _offset, _zeros, _swap]
    for number in range(count):
        copy = bytearray(model)
        kinds[number % len(kinds)](chance, copy)
        yield bytes(copy)


def end_of_start(model: bytes, artifact: Artifact) -> str:
    """How a process ends that loads the model and classifies a black photo: its error message, or its signal."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            try:
                classifier = Classifier(model, replace(artifact, sha256=sha256_of(model)))
                size = artifact.image_size
                classifier.classify(np.zeros((size, size, 3), np.uint8))
                os.write(writer, b"answers")
            except ArtifactError as error:
                os.write(writer, str(error).encode())
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader, "rb") as report:
        said = report.read().decode()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return f"signal {os.WTERMSIG(status)}"
    return said or "traceback"


def _place(chance: random.Random, copy: bytearray, align: int = 1) -> int:
    """In the structure, not in the weights."""
    if chance.random() < 0.1:
        return chance.randrange(HEAD_BYTES) // align * align
    return (len(copy) - 8 - chance.randrange(TAIL_BYTES)) // align * align


def _flip(chance: random.Random, copy: bytearray) -> None:
    copy[_place(chance, copy)] ^= 1 << chance.randrange(8)


def _flips(chance: random.Random, copy: bytearray) -> None:
    for _ in range(32):
        copy[_place(chance, copy)] = chance.randrange(256)


def _number(chance: random.Random, copy: bytearray) -> None:
    """Small numbers are indices, codes, extents and counts."""
    struct.pack_into(
        "<i", copy, _place(chance, copy, 4), chance.choice([-1, 0, 1, 2, 3, 7, 100, 288, 289, 1000])
    )


def _offset(chance: random.Random, copy: bytearray) -> None:
    struct.pack_into("<I", copy, _place(chance, copy, 4), chance.randrange(2**32))


def _zeros(chance: random.Random, copy: bytearray) -> None:
    place = _place(chance, copy)
    copy[place : place + 64] = bytes(len(copy[place : place + 64]))


def _swap(chance: random.Random, copy: bytearray) -> None:
    one, other = _place(chance, copy, 4), _place(chance, copy, 4)
    one_value, other_value = copy[one : one + 4], copy[other : other + 4]
    copy[one : one + 4], copy[other : other + 4] = other_value, one_value
