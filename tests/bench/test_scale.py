"""The simulation of a batch on cases that can be computed by hand."""

import random

import pytest

from bench.scale import Machine, finish_s, finishes, main

QUIET = Machine(2, milliseconds=10, start_s=1, spread=0, straggler_share=0, failure_share=0)


@pytest.mark.parametrize(
    ("photos", "part_photos", "expected"),
    [
        (400, 100, 1 + 2.0),  # two parts of a second for each worker
        (500, 100, 1 + 3.0),  # the fifth part keeps one worker a second longer
        (50, 100, 1 + 0.5),
        (150, 100, 1 + 1.0),
    ],
)
def test_without_luck(photos: int, part_photos: int, expected: float) -> None:
    assert finish_s(photos, part_photos, QUIET, random.Random(0)) == pytest.approx(expected)


def test_stragglers_failures_and_overhead_cost_time() -> None:
    slow = Machine(2, 10, 1, spread=0, straggler_share=1, straggler_factor=5, failure_share=0)
    assert finish_s(400, 100, slow, random.Random(0)) == pytest.approx(1 + 10)
    failing = Machine(2, 10, 1, spread=0, straggler_share=0, failure_share=0.5)
    assert finish_s(400, 100, failing, random.Random(0)) > 3
    heavy = Machine(2, 10, 1, part_s=0.5, spread=0, straggler_share=0, failure_share=0)
    assert finish_s(400, 100, heavy, random.Random(0)) == pytest.approx(1 + 3)


def test_small_parts_hide_stragglers() -> None:
    machine = Machine(16, 5, straggler_share=0.02, straggler_factor=10)
    large, _ = finishes(64_000, 4_000, machine, 20)
    small, _ = finishes(64_000, 250, machine, 20)
    assert small < 0.8 * large


def test_printed_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--photos", "1000000", "--workers", "16", "--runs", "3"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("1,000,000 photos in 1,000 parts of 1,000, 16 workers\nideal 5 min, median ")
