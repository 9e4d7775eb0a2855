"""data/download.py: what it lays out, and its messages when Kaggle or the disk fails."""

import sys
from pathlib import Path
from types import ModuleType

import pytest
import requests

DATA = Path(__file__).parents[2] / "data"
# As when it runs: the folder of a command is where its imports start.
sys.path.append(str(DATA))

import download  # noqa: E402

INTEL_PAGE = "https://www.kaggle.com/datasets/puneet6060/intel-image-classification"
ACCOUNT = (
    "Kaggle asks for an account: create a token at https://www.kaggle.com/settings/api, put it into "
    f"~/.kaggle/access_token or KAGGLE_API_TOKEN, accept the terms on {INTEL_PAGE}, then run this again"
)


class CredentialError(Exception):
    pass


class UnauthenticatedError(Exception):
    pass


class DataCorruptionError(Exception):
    pass


class FakeKagglehub(ModuleType):
    """The part of kagglehub 1.0 that is used: it gives a folder or fails, and keeps what it was asked."""

    def __init__(self, outcome: Path | Exception) -> None:
        super().__init__("kagglehub")
        self.outcome = outcome
        self.handles: list[str] = []
        self.exceptions = ModuleType("kagglehub.exceptions")
        for error in (CredentialError, UnauthenticatedError, DataCorruptionError):
            setattr(self.exceptions, error.__name__, error)

    def dataset_download(self, handle: str) -> str:
        self.handles.append(handle)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return str(self.outcome)


def install(monkeypatch: pytest.MonkeyPatch, outcome: Path | Exception) -> FakeKagglehub:
    fake = FakeKagglehub(outcome)
    monkeypatch.setitem(sys.modules, "kagglehub", fake)
    monkeypatch.setitem(sys.modules, "kagglehub.exceptions", fake.exceptions)
    return fake


def http_error(status: int) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(f"{status} Client Error.\n\nsomething long", response=response)


def write_files(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return folder


def intel_archive(folder: Path) -> Path:
    """As Kaggle packs it: every folder twice, one in the other."""
    return write_files(
        folder, "seg_train/seg_train/sea/1.jpg", "seg_train/seg_train/street/2.jpg",
        "seg_test/seg_test/sea/3.jpg", "seg_pred/seg_pred/4.jpg",
    )  # fmt: skip


def files_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (http_error(401), ACCOUNT),
        (http_error(403), ACCOUNT),
        (UnauthenticatedError("User is not authenticated"), ACCOUNT),
        (CredentialError("no token"), ACCOUNT),
        (http_error(404), f"Kaggle no longer has {INTEL_PAGE}: look for a copy and unpack it by hand"),
        (http_error(429), "Kaggle limits the rate of requests: wait some minutes, then run this again"),
        (http_error(503), "Kaggle answered with HTTP status 503: try again later"),
        (requests.HTTPError("no answer at all"), "Kaggle answered with HTTP status 0: try again later"),
        (
            requests.ConnectionError("Max retries exceeded: Name or service not known"),
            f"Kaggle cannot be reached: check the network, or get {INTEL_PAGE} elsewhere and unpack it",
        ),
        (
            requests.ReadTimeout("timed out"),
            f"Kaggle cannot be reached: check the network, or get {INTEL_PAGE} elsewhere and unpack it",
        ),
        (DataCorruptionError("MD5\nmismatch"), "the downloaded archive is damaged: run this again"),
        (
            OSError(28, "No space left on device"),
            "kagglehub failed: [Errno 28] No space left on device; correct that, then run this again",
        ),
        (
            ValueError("Invalid Kaggle credentials\nfile"),
            "kagglehub failed: Invalid Kaggle credentials file; correct that, then run this again",
        ),
    ],
)
def test_a_failed_download_is_one_sentence_and_exit_code_2(
    failure: Exception,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    install(monkeypatch, failure)
    assert download.main(["intel", "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr() == ("", f"download.py: {sentence}\n")
    assert not (tmp_path / "out").exists()


def test_without_kagglehub_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "kagglehub", None)  # importing it raises ImportError
    assert download.main(["intel", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        "download.py: kagglehub is missing: run `pip install kagglehub`, then this again\n"
    )


def test_the_intel_set_comes_out_as_train_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = install(monkeypatch, intel_archive(tmp_path / "archive"))
    out = tmp_path / "photos" / "intel"
    assert download.main(["intel", "--out", str(out)]) == 0
    assert fake.handles == ["puneet6060/intel-image-classification"]
    assert files_in(out) == [
        "seg_pred/4.jpg",
        "seg_test/sea/3.jpg",
        "seg_train/sea/1.jpg",
        "seg_train/street/2.jpg",
    ]
    assert (out / "seg_test/sea/3.jpg").read_bytes() == b"seg_test/seg_test/sea/3.jpg"
    printed = capsys.readouterr().out
    assert f"{out / 'seg_train'}: 2 files\n" in printed
    assert printed.endswith(f"next: python train.py --data {out} --out out/intel\n")


@pytest.mark.parametrize(
    ("name", "archived", "expected"),
    [
        (
            "potholes",
            ["My Dataset/train/Plain/1.jpg", "My Dataset/train/Pothole/2.jpg", "My Dataset/test/Plain/3.jpg"],
            ["test/Plain/3.jpg", "train/Plain/1.jpg", "train/Pothole/2.jpg"],
        ),
        (
            "flowers",
            ["flowers/daisy/1.jpg", "flowers/tulip/2.jpg"],
            ["train/daisy/1.jpg", "train/tulip/2.jpg"],
        ),
    ],
)
def test_other_sets_come_out_as_train_reads_them(
    name: str, archived: list[str], expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, write_files(tmp_path / "archive", *archived))
    assert download.main([name, "--out", str(tmp_path / "out")]) == 0
    assert files_in(tmp_path / "out") == expected


def test_what_is_in_place_is_neither_fetched_nor_copied_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = install(monkeypatch, intel_archive(tmp_path / "archive"))
    out = write_files(tmp_path / "out", "seg_train/sea/mine.jpg")
    assert download.main(["intel", "--out", str(out)]) == 0
    assert download.main(["intel", "--out", str(out)]) == 0
    assert files_in(out) == ["seg_pred/4.jpg", "seg_test/sea/3.jpg", "seg_train/sea/mine.jpg"]
    assert len(fake.handles) == 1


def test_an_archive_of_another_shape_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = write_files(tmp_path / "archive", "seg_train/seg_train/sea/1.jpg", "readme.txt")
    install(monkeypatch, archive)
    assert download.main(["intel", "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == (
        "download.py: the archive has no folder seg_test/seg_test, but readme.txt, seg_train: "
        f"copy the folders of {archive} by hand\n"
    )
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_copied_whole_does_not_appear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = intel_archive(tmp_path / "archive")
    (archive / "seg_test/seg_test/sea/broken.jpg").symlink_to(tmp_path / "nowhere")
    install(monkeypatch, archive)
    out = tmp_path / "out"
    assert download.main(["intel", "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"download.py: {out} cannot be written: ") and error.count("\n") == 1
    assert files_in(out) == ["seg_train/sea/1.jpg", "seg_train/street/2.jpg"]


def test_a_file_where_the_folder_should_be_is_one_sentence_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(monkeypatch, intel_archive(tmp_path / "archive"))
    (tmp_path / "out").write_text("not a folder")
    assert download.main(["intel", "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith(f"download.py: {tmp_path / 'out'} cannot be written: ")


def test_help_names_every_set_its_page_and_the_terms(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        download.main(["--help"])
    text = capsys.readouterr().out
    for expected in (
        INTEL_PAGE,
        "https://www.kaggle.com/datasets/virenbr11/pothole-and-plain-rode-images",
        "https://www.kaggle.com/datasets/alxmamaev/flowers-recognition",
        "do not pass the photos on",
    ):
        assert expected in text
