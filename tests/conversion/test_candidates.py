"""The choice of precision, on candidates written by hand."""

from dataclasses import replace

import numpy as np
import pytest

from lenslet.config import ConvertParams

pytestmark = pytest.mark.slow

PARAMS = ConvertParams(
    precisions=("float32", "float16", "int8"),
    calibration_photos=10,
    explanation_photos=0,
    max_accuracy_loss=0.005,
    min_agreement=0.995,
    max_slowdown=0.1,
    conformal_alpha=0.1,
    ood_true_positive_rate=0.95,
)


def candidate(precision: str, megabytes: int, time_ms: float, **measured: float):
    from lenslet.conversion.candidates import TFLiteCandidate

    figures = {"accuracy": 0.94, "agreement": 1.0, "difference": 1e-5} | measured
    return TFLiteCandidate(precision, bytes(megabytes), time_ms=time_ms, **figures)


def test_smallest_of_the_fast_ones_is_chosen() -> None:
    from lenslet.conversion.candidates import choose_candidate

    candidates = [candidate("float32", 9, 3.4), candidate("float16", 5, 3.5), candidate("int8", 3, 30.0)]
    assert choose_candidate(candidates, 0.94, PARAMS).precision == "float16"


def test_fast_int8_is_chosen_where_the_runtime_has_it() -> None:
    from lenslet.conversion.candidates import choose_candidate

    candidates = [candidate("float32", 9, 3.4), candidate("float16", 5, 3.5), candidate("int8", 3, 1.7)]
    assert choose_candidate(candidates, 0.94, PARAMS).precision == "int8"


@pytest.mark.parametrize(
    ("precision", "measured", "words"),
    [
        ("float32", {"difference": 0.002}, "a probability differs from Keras by 0.0020, more than 0.001"),
        ("float16", {"difference": 0.002}, ""),
        ("int8", {"agreement": 0.99}, "same top label as Keras on 99.0%, less than 99.5%"),
        ("int8", {"accuracy": 0.93}, "loses 1.00% of accuracy"),
        ("int8", {"accuracy": 0.937}, ""),
        ("int8", {"accuracy": 0.935}, ""),  # 0.0050000000000000044
        ("int8", {"accuracy": 0.94 - 1 / 30, "photos": 30}, ""),  # one photo
        ("int8", {"accuracy": 0.94 - 2 / 30, "photos": 30}, "loses 6.67% of accuracy"),
    ],
)
def test_objections(precision: str, measured: dict[str, float], words: str) -> None:
    from lenslet.conversion.candidates import reason_to_refuse

    assert reason_to_refuse(candidate(precision, 5, 3.0, **measured), 0.94, PARAMS) == words


def test_slow_ones_are_those_that_cannot_be_chosen() -> None:
    from lenslet.conversion.candidates import slow_candidates

    # The limit is 3.4 × 1.1 × 2 = 7.48.
    times = {"float32": 3.4, "float16": 3.5, "dynamic_range": 7.6, "int8": 7.4}
    words = "2.2 times as slow as float32: not tried on all photos"
    assert slow_candidates(times, PARAMS) == {"dynamic_range": words}
    assert slow_candidates(times, replace(PARAMS, max_slowdown=1)) == {}  # who wants small files gets them
    assert slow_candidates({}, PARAMS) == {}


@pytest.mark.parametrize("is_fast_one_right", [True, False])
def test_slow_files_run_on_all_pictures_only_where_no_other_may_be_served(
    is_fast_one_right: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lenslet.conversion import servable
    from lenslet.conversion.candidates import choose_candidate
    from lenslet.evaluation.runtime_check import RuntimeCheck
    from lenslet.inference.artifact import Artifact

    expected = np.tile(np.array([[0.9, 0.1]], np.float32), (120, 1))
    asked: list[tuple[list[str], int]] = []

    def answers(models: dict[str, bytes], _: Artifact, pixels: np.ndarray) -> dict[str, RuntimeCheck]:
        asked.append(([*models], len(pixels)))
        rows, nothing = expected[: len(pixels)], np.zeros(len(pixels))
        given = {"float16": rows if is_fast_one_right else rows[:, ::-1], "int8": rows}
        times = {"float16": 2.0, "int8": 20.0}
        return {name: RuntimeCheck(given[name], nothing, nothing, times[name]) for name in models}

    monkeypatch.setattr(servable, "check_in_folders", answers)
    draft = servable.draft_artifact("mine", ("a", "b"), 8, 1.0, 0.1)
    pixels, targets = np.zeros((120, 8, 8, 3), np.uint8), np.zeros(40, np.int64)
    models = {"int8": b"8", "float16": b"16"}
    candidates, checks = servable.try_out(models, draft, pixels, targets, expected, 1.0, PARAMS)
    assert [each.precision for each in candidates] == ["int8", "float16"]
    chosen = choose_candidate(candidates, 1.0, PARAMS)
    assert chosen.precision == ("float16" if is_fast_one_right else "int8")
    assert len(checks[chosen.precision].probabilities) == 40
    on_all = [["float16"]] if is_fast_one_right else [["float16"], ["int8"]]
    assert asked == [(["int8", "float16"], servable.TIMED), *((names, 120) for names in on_all)]


def test_nothing_is_chosen_where_all_fail() -> None:
    from lenslet.conversion.candidates import ConversionRefused, TFLiteCandidate, choose_candidate

    failed = TFLiteCandidate("dynamic_range", b"", failure="cannot load")
    with pytest.raises(ConversionRefused, match="no precision answers as the Keras network does"):
        choose_candidate([failed, candidate("int8", 3, 1.0, agreement=0.5)], 0.94, PARAMS)


def test_judged_against_labels_and_keras() -> None:
    from lenslet.conversion.candidates import compare_with_keras

    answers = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], np.float32)
    expected = np.array([[0.8, 0.2], [0.2, 0.8], [0.4, 0.6]], np.float32)
    judged = compare_with_keras("float32", b"", answers, 3.0, np.array([0, 0, 0]), expected)
    assert judged.accuracy == pytest.approx(2 / 3)
    assert judged.agreement == pytest.approx(2 / 3)
    assert judged.difference == pytest.approx(0.2)


def test_agreement_is_measured_beyond_the_labelled_photos() -> None:
    from lenslet.conversion.candidates import compare_with_keras

    answers = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]], np.float32)
    expected = np.array([[0.8, 0.2], [0.2, 0.8], [0.4, 0.6], [0.6, 0.4]], np.float32)
    judged = compare_with_keras("float32", b"", answers, 3.0, np.array([0, 1]), expected)
    assert judged.accuracy == 1
    assert judged.agreement == 0.75


def test_calibration_photos_are_training_photos_drawn_by_the_seed() -> None:
    from lenslet.conversion.candidates import drawn_training_photos, pixels_of
    from tests.support.tiny import tiny_dataset

    dataset = tiny_dataset()
    training = [picture.tobytes() for picture in dataset.pixels[:16]]
    members = drawn_training_photos(dataset, 6, seed=1)
    drawn = [picture.tobytes() for picture in pixels_of(dataset, members)]
    assert len(set(drawn)) == 6
    assert set(drawn) <= set(training)
    assert members.tolist() != drawn_training_photos(dataset, 6, seed=2).tolist()
    assert len(drawn_training_photos(dataset, 99, seed=1)) == 16
