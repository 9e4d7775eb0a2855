"""Commands that are started in a folder below that of the project."""

from pathlib import Path

import pytest

from lenslet import cli
from lenslet.inference.elsewhere import folder_above, where_it_is


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with photos, settings and a registry; the current folder is its folder docs/."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("docs", "photos/cat", ".mlflow"):
        (tmp_path / name).mkdir(parents=True)
    settings = Path("params.yaml").read_text(encoding="utf-8").replace("seed: 20", "seed: 21")
    (tmp_path / "params.yaml").write_text(settings, encoding="utf-8")
    monkeypatch.chdir(tmp_path / "docs")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["train", "--data", "photos", "--out", "out"],
            "photos is in {}, from where the command would find it",
        ),
        (["lint", "photos/cat"], "photos/cat is in {}, from where"),
        (["register", "list"], "there is no registry in {}/docs/.mlflow: go to {}, or name a server"),
        (
            ["gate"],
            "note: {}/params.yaml is not used here: go to its folder, or give --params {}/params.yaml",
        ),
    ],
)
def test_sentence_says_where_to_go(words: list[str], said: str, project: Path, capsys) -> None:
    assert cli.main(words) == 2
    assert said.replace("{}", str(project)) in capsys.readouterr().err


def test_nothing_is_said_of_what_is_here_or_nowhere(project: Path, capsys) -> None:
    (project / "docs" / "here").mkdir()
    assert [folder_above(name) for name in ("here", "nowhere", "../photos", "/tmp")] == [None] * 4
    assert where_it_is("nowhere does not exist: give a folder") == ""
    assert cli.main(["gate", "--params", str(project / "params.yaml")]) == 2
    assert "is not used here" not in capsys.readouterr().err
