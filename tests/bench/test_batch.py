"""The arithmetic of the batch benchmark on numbers written by hand; nothing is timed."""

import pytest

from bench import batch
from bench.batch_peers import KERAS, LENSLET, ONNX
from bench.goals import judge

RATES = {
    "floor": {"150 px": 400.0, "12 MP": 60.0},
    LENSLET: {"150 px": 370.0, "12 MP": 52.0},
    KERAS: {"150 px": 100.0, "12 MP": 13.0},
    ONNX: {"150 px": 300.0, "12 MP": 12.0},
}


def test_goals_are_ratios_within_one_run() -> None:
    found = [(verdict.value, verdict.is_kept) for verdict in judge(batch.GOALS, RATES)]
    assert found == [
        (pytest.approx(0.925), True),
        (pytest.approx(0.8667, abs=1e-4), False),
        (pytest.approx(3.7), True),
        (pytest.approx(4.0), True),
        (pytest.approx(4.3333, abs=1e-4), True),
    ]


def test_without_a_peer_its_goal_is_not_measured() -> None:
    rates = {name: each for name, each in RATES.items() if name != ONNX}
    assert judge(batch.GOALS, rates)[-1].value is None


def test_table_shows_multiples_of_the_floor() -> None:
    lines = [
        line.split() for line in batch.table({name: RATES[name] for name in ("floor", KERAS)}).splitlines()
    ]
    assert lines[1:] == [
        ["floor:", "decode", "+", "invoke", "400.0", "1.00×", "60.0", "1.00×"],
        ["Keras", "predict,", "tf.data", "100.0", "0.25×", "13.0", "0.22×"],
    ]
