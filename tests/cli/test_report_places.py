"""Default places of reports: none is written over another's."""

import re
from pathlib import Path

import pytest

from lenslet.commands.report_places import report_file, report_of_photos
from lenslet.commands.tune import read_arguments, unfinished_search


@pytest.mark.parametrize(
    ("place", "pattern"),
    [
        ("my_photos", "lint-my_photos"),
        ("data/sample", "lint-data-sample"),
        ("photos.csv", r"lint-photos\.csv"),
        ("two words", "lint-two_words"),
        ("../elsewhere/my_photos", "lint-my_photos-[0-9a-f]{6}"),
        ("/", "lint-photos-[0-9a-f]{6}"),
        ("s3://bucket/photos", "lint-s3_-bucket-photos"),
    ],
)
def test_folder_of_findings_has_the_name_of_the_photos(
    place: str, pattern: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = report_of_photos(Path(place), "lint")
    assert found.parent == Path("report")
    assert re.fullmatch(pattern, found.name), found


def test_places_of_the_same_name_are_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    places = ["photos", "photos.v1", "photos.v2", "old/photos", "../one/photos", "../two/photos"]
    assert len({report_of_photos(Path(place), "lint") for place in places}) == len(places)


def test_searches_of_two_folders_are_two_studies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("one", "other"):
        (tmp_path / name / "class").mkdir(parents=True)
        (tmp_path / name / "class" / "1.jpg").touch()
    one, other = (read_arguments(["--data", name]) for name in ("one", "other"))
    assert (one.study, str(one.report)) == ("runs/tune-one.db", "report/tune-one")
    assert other.study == "runs/tune-other.db"
    assert read_arguments(["--data", "one", "--study", "mine.db"]).study == "mine.db"
    assert unfinished_search(["--data", "one"]) == ""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "tune-one.db").touch()
    assert unfinished_search(["--data", "one"]) == "; the same command continues the study"


def test_file_has_the_name_of_what_it_is_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pages = [
        report_file("drift", ".html", *about)
        for about in (
            ("function.log", "one"), ("function.log", "two"), ("other/function.log", "one"),
            ("cloudwatch:///aws/lambda/function.log", "one"), ("function.log", "one", "2026-11-01"),
        )
    ]  # fmt: skip
    assert len(set(pages)) == 5
    assert all(re.fullmatch(r"drift-function\.log-[0-9a-f]{6}\.html", page.name) for page in pages)
    assert report_file("drift", ".html", "./function.log", "one") == pages[0]
