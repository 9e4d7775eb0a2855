"""What a small folder's training leaves out and learns from, and the out-of-fold answers that calibrate it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lenslet.commands.train_params import for_fine_tuning
from lenslet.config import ParamsError, TrainParams, read_params
from lenslet.dataset.dataset import Dataset
from lenslet.dataset.out_of_fold import OutOfFold, answers_for, packed_answers, unpacked_answers
from lenslet.dataset.photos import Photo
from lenslet.dataset.splits import cross_validation_folds
from lenslet.training.small_folders import all_photos_to_train, chosen_for, without_needless_fine_tuning
from tests.support.tiny import tiny_dataset

SHIPPED = read_params(Path("params.yaml")).train
LEAST = 2 * SHIPPED.fine_tune.min_photos_per_class  # of two classes


@pytest.fixture
def params() -> TrainParams:
    return replace(SHIPPED, image_size=16)


def of_photos(count: int, labels: tuple[str, ...] = ("a", "b")) -> Dataset:
    """So many photos of the classes by turns, every sixth to validate."""
    photos = tuple(
        Photo(Path(f"{row}.png"), labels[row % len(labels)], "train" if row % 6 else "validation")
        for row in range(count)
    )
    hashes = tuple(f"{row:02x}" * 32 for row in range(count))
    return replace(tiny_dataset(), photos=photos, labels=labels, hashes=hashes, rows=np.arange(count))


def test_few_photos_are_not_fine_tuned_and_the_reason_is_said(params: TrainParams) -> None:
    chosen, sentence = without_needless_fine_tuning(params, LEAST - 1, 2)
    assert chosen == replace(params, fine_tune=replace(params.fine_tune, epochs=0))
    assert (
        sentence.startswith("the head alone is trained: ")
        and "train.fine_tune.min_photos_per_class" in sentence
    )
    assert without_needless_fine_tuning(params, LEAST, 2) == (params, "")


def test_fine_tuning_stays_where_the_head_is_no_regression_or_must_be_fine_tuned(params: TrainParams) -> None:
    for kept in (
        replace(params, head=replace(params.head, solver="gradient")),
        replace(params, head=replace(params.head, hidden_units=64)),
        replace(params, backbone=replace(params.backbone, weights="none")),
        replace(params, fine_tune=replace(params.fine_tune, min_photos_per_class=0)),
    ):
        assert without_needless_fine_tuning(kept, 20, 2) == (kept, "")


@pytest.mark.parametrize(
    ("given", "is_forced"),
    [
        ({"train.fine_tune.epochs": "3"}, True),
        ({"train.augmentation.flip": "both"}, True),
        ({"train.backbone.layers_unfrozen": "50"}, True),
        ({"train.seed": "3"}, False),
        ({"train.fine_tune.epochs": "3", "train.fine_tune.min_photos_per_class": "50"}, False),
    ],
)
def test_setting_of_fine_tuning_asks_for_it(
    params: TrainParams, given: dict[str, str], is_forced: bool
) -> None:
    assert (for_fine_tuning(params, given).fine_tune.min_photos_per_class == 0) is is_forced


def test_teachers_ask_for_fine_tuning(params: TrainParams) -> None:
    taught = replace(params, distill=replace(params.distill, teachers="out/first"))
    assert for_fine_tuning(taught, {}).fine_tune.min_photos_per_class == 0


def test_drawn_validation_photos_train_the_head_where_it_is_the_model(params: TrainParams) -> None:
    dataset = of_photos(24)
    chosen = chosen_for(params, dataset)
    assert chosen.dataset.members("train").tolist() == list(range(24))
    assert not len(chosen.dataset.members("validation"))
    assert chosen.folds is not None and len(chosen.folds) == 24
    assert "all 24 photos train the head" in chosen.sentences[1]


def test_validation_photos_of_their_own_are_respected_unless_asked(params: TrainParams) -> None:
    dataset = replace(of_photos(24), given_splits=frozenset({"train", "validation"}))
    assert chosen_for(params, dataset).dataset is dataset
    asked = chosen_for(replace(params, calibration="out_of_fold"), dataset)
    assert len(asked.dataset.members("train")) == 24
    assert chosen_for(replace(params, calibration="validation"), of_photos(24)).folds is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda params: replace(params, fine_tune=replace(params.fine_tune, min_photos_per_class=0)),
            "is fine-tuned",
        ),
        (
            lambda params: replace(
                params,
                head=replace(params.head, solver="gradient"),
                fine_tune=replace(params.fine_tune, epochs=0),
            ),
            "no logistic regression",
        ),
        (lambda params: replace(params, training_fold="1/2"), "train.training_fold"),
    ],
)
def test_validation_photos_judge_where_the_head_out_of_fold_is_not_the_model(
    params: TrainParams, change, reason: str
) -> None:
    dataset, changed = of_photos(24), change(params)
    assert chosen_for(changed, dataset).dataset is dataset
    with pytest.raises(ParamsError, match=rf"calibration cannot be out_of_fold: .*{reason}"):
        chosen_for(replace(changed, calibration="out_of_fold"), dataset)


def test_class_of_one_picture_has_no_folds(params: TrainParams) -> None:
    """Four copies of one photo: a head without them has not seen the class."""
    dataset = of_photos(8)
    hashes = tuple("ff" * 32 if row % 2 else digest for row, digest in enumerate(dataset.hashes))
    copies = replace(dataset, hashes=hashes)
    assert cross_validation_folds(copies, np.arange(8), 10, 20) is None
    assert all_photos_to_train(params, copies).folds is None


def test_copies_share_a_fold_and_classes_are_spread_evenly() -> None:
    dataset = replace(of_photos(40), duplicates=np.array([[0, 2, 1], [2, 8, 3], [5, 7, 0]]))
    members = np.arange(2, 40)  # the first pair is half inside
    folds = cross_validation_folds(dataset, members, 10, 20)
    assert folds is not None
    of = dict(zip(members.tolist(), folds.tolist(), strict=True))
    assert of[2] == of[8] and of[5] == of[7]
    for label in (0, 1):
        counts = np.bincount([of[each] for each in members if each % 2 == label], minlength=10)
        assert counts.min() >= 1 and counts.max() <= 3


def test_answers_come_back_by_the_photos_content() -> None:
    dataset = of_photos(7)
    logits = np.arange(14, dtype=np.float32).reshape(7, 2)
    packed = packed_answers(dataset, np.arange(7), OutOfFold(logits, np.array([0, 1, 2, 0, 1, 2, 0])))
    moved = replace(dataset, photos=dataset.photos[::-1], hashes=dataset.hashes[::-1])
    found = answers_for(packed, moved, np.array([0, 6]))
    assert found.logits.tolist() == [[12.0, 13.0], [0.0, 1.0]]
    assert (found.folds.tolist(), found.count) == ([0, 0], 1)
    with pytest.raises(ValueError, match="no out-of-fold answer"):
        answers_for(packed, replace(dataset, hashes=("ab" * 32, *dataset.hashes[1:])), np.array([0]))
    with pytest.raises(ValueError, match="2 classes"):
        answers_for(packed, of_photos(7, ("a", "b", "c")), np.arange(7))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"logits": "AAAA"}, "reshape|size"),
        ({"photos": "!"}, "base64|padding|alphabet|digit"),
        ({"photos": ""}, "no numbers|reshape|size|unspecified"),
        ({"folds": ""}, "zip"),
    ],
)
def test_damaged_answers_are_refused(change: dict[str, str], message: str) -> None:
    answers = OutOfFold(np.ones((4, 2), np.float32), np.array([0, 1, 0, 1]))
    packed = packed_answers(of_photos(4), np.arange(4), answers)
    with pytest.raises(ValueError, match=message):
        unpacked_answers({**packed, **change})
