"""Submissions: what competition sites score, worked out by hand."""

import csv
from pathlib import Path

import numpy as np
import pytest

from lenslet.batch import run
from lenslet.batch.files import find_files
from lenslet.cli import main
from lenslet.inference.classifier import Prediction
from lenslet.reporting.submission import (
    Submission,
    SubmissionError,
    check_ids,
    make_submission,
    write_submission,
)

TWO, THREE = ("plain", "pothole"), ("a", "b", "c")


def answer(*probabilities: float) -> Prediction:
    labels = TWO if len(probabilities) == 2 else THREE
    exact = np.array(probabilities, np.float32)
    return Prediction(
        labels=labels,
        probabilities=exact,
        logits=np.log(exact + 1e-6),
        activation_map=None,
        conformal_threshold=0.5,
        ood_threshold=0.0,
        conformal_alpha=0.05,
    )


POTHOLES = [
    (Path("test/b.jpg"), answer(0.9, 0.1)),
    (Path("test/A.JPG"), answer(0.2, 0.8)),
    (Path("test/broken.jpg"), None),
    (Path("test/list.csv"), None),
]


def test_two_labels_give_the_probability_of_the_second() -> None:
    made = make_submission(POTHOLES, TWO)
    assert made.rows == [("A", "0.800000"), ("b", "0.100000"), ("broken", "0.450000")]
    assert made.remarks == [
        "3 rows; label is the probability of pothole",
        "1 of them could not be read and got the mean of the others, 0.450000",
        "files left out, as not named like photos: 1",
    ]


def test_positive_label_and_names_with_extension() -> None:
    made = make_submission(POTHOLES, TWO, positive="plain", keep_extension=True)
    assert made.rows == [("A.JPG", "0.200000"), ("b.jpg", "0.900000"), ("broken.jpg", "0.550000")]
    assert made.remarks[0] == "3 rows; label is the probability of plain"


def test_more_labels_give_the_most_probable() -> None:
    answers = [
        (Path("3.png"), answer(0.1, 0.2, 0.7)),
        (Path("1.png"), answer(0.0, 0.6, 0.4)),
        (Path("2.png"), answer(0.1, 0.3, 0.6)),
        (Path("0.png"), None),
    ]
    made = make_submission(answers, THREE)
    assert made.rows == [("0", "c"), ("1", "b"), ("2", "c"), ("3", "c")]
    assert made.remarks[1] == "1 of them could not be read and got the most frequent label of the others, c"


@pytest.mark.parametrize(
    ("answers", "labels", "positive", "message"),
    [
        (POTHOLES, TWO, "sea", "--positive must be plain or pothole, not sea"),
        (POTHOLES, THREE, "a", "--positive is for two labels; the model has 3"),
        ([(Path("x.jpg"), None)], TWO, None, "no photo could be read"),
        (
            [*POTHOLES, (Path("c/b.jpg"), answer(0.5, 0.5))],
            TWO,
            None,
            "two photos have the id 'b'; c/b.jpg is",
        ),
    ],
)
def test_what_cannot_be_submitted(answers, labels, positive, message) -> None:
    with pytest.raises(SubmissionError, match=message):
        make_submission(answers, labels, positive)


def test_file_is_whole_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    write_submission(Submission([("a,b", "0.5"), ("c", "1")], []), tmp_path / "made.csv")
    assert (tmp_path / "made.csv").read_bytes() == b'id,label\n"a,b",0.5\nc,1\n'
    assert [path.name for path in tmp_path.iterdir()] == ["made.csv"]


def test_verb_writes_one_row_a_photo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = "data/sample/test/sea"
    assert main(["predict", folder, "README.md", "--submission", str(tmp_path / "sea.csv")]) == 0
    assert "10 rows; label is the most probable label; files left out" in capsys.readouterr().out
    with (tmp_path / "sea.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["id", "label"]
    assert [name for name, _ in rows[1:]] == [f"{number:02}" for number in range(10)]
    assert {label for _, label in rows[1:]} <= {"buildings", "forest", "glacier", "mountain", "sea", "street"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data/sample/test/sea", "--positive", "sea"], "--positive is for two labels; the model has 6"),
        (
            ["data/sample/test"],
            "two photos have the id '00'; data/sample/test/forest/00.jpg is the second one",
        ),
        (
            ["data/sample/test/sea", "--csv", "data/sample"],
            "--csv data/sample is a folder: give the name of a file",
        ),
        (["data/sample/test/sea", "--csv", "README.md/x.csv"], "nothing can be written into --csv x.csv in "),
        (["README.md"], "no photo could be read"),
    ],
)
def test_wrong_call_is_one_sentence_and_writes_nothing(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", *arguments, "--submission", str(tmp_path / "made.csv")]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_ids_are_looked_at_before_any_photo_is_classified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "run_here", lambda *_: pytest.fail("classified"))
    assert main(["predict", "data/sample/test", "--submission", str(tmp_path / "made.csv")]) == 2
    assert "two photos have the id '00'" in capsys.readouterr().err
    lists = [Path("one/list.csv"), Path("two/list.csv"), Path("one/1.jpg"), Path("one/1.csv")]
    check_ids(lists)  # a list beside the photos is no photo


def test_hidden_folders_are_not_searched(tmp_path: Path) -> None:
    for name in ("a.jpg", ".b.jpg", ".cache/c.jpg", "deep/.trash/d.jpg", "deep/e.jpg"):
        (tmp_path / ".home" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / ".home" / name).touch()
    found = find_files([tmp_path / ".home"])  # named by the caller, so it is meant
    assert [str(path.relative_to(tmp_path / ".home")) for path in found] == ["a.jpg", "deep/e.jpg"]
