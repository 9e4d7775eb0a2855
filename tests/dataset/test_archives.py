"""Archives: what they hold is found as in a folder, and nothing is written outside of the cache."""

import io
import os
import shutil
import tarfile
import time
import zipfile
from pathlib import Path
from random import Random

import pytest

from lenslet.dataset import archives
from lenslet.dataset.layouts import find_photos
from lenslet.dataset.photos import DatasetError
from tests.dataset.test_layouts import counts, found, left_out

FILES = {"photos/cat/1.jpg": b"1", "photos/dog/2.jpg": b"2", "__MACOSX/photos/cat/._1.jpg": b"3"}


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def tarred(path: Path, files: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


@pytest.mark.parametrize("make", [zipped, tarred])
def test_archive_is_read_like_its_folder(make, tmp_path: Path) -> None:
    path = make(tmp_path / "data.bin", FILES)
    listing = find_photos(path, cache=tmp_path / "cache")
    assert found(listing) == {"photos/cat/1.jpg": ("cat", None), "photos/dog/2.jpg": ("dog", None)}
    assert left_out(listing) == {"__MACOSX/photos/cat/._1.jpg": "system"}
    assert listing.layout == "an archive: a folder per class"
    assert [photo.path.read_bytes() for photo in listing.photos] == [b"1", b"2"]


def test_archive_is_unpacked_once(tmp_path: Path) -> None:
    path = zipped(tmp_path / "data.zip", FILES)
    first = find_photos(path, cache=tmp_path / "cache").photos[0].path
    written = first.stat().st_ino
    assert find_photos(path, cache=tmp_path / "cache").photos[0].path.stat().st_ino == written
    zipped(path, FILES | {"photos/cat/3.jpg": b"3"})
    assert counts(find_photos(path, cache=tmp_path / "cache")) == {(None, "cat"): 2, (None, "dog"): 1}
    assert not list((tmp_path / "cache").glob(".*"))


@pytest.mark.parametrize(
    "damage", ["changed", "gone", "swapped", "cut", "added", "pipe", "contents", "no contents"]
)
def test_damaged_folder_is_unpacked_again(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = zipped(tmp_path / "data.zip", FILES)
    cat, dog = (photo.path for photo in find_photos(path, cache=tmp_path / "cache").photos)
    [contents] = tmp_path.glob("cache/unpacked-*/contents.json")
    match damage:
        case "changed":
            cat.write_bytes(b"2")
        case "gone":
            cat.unlink()
        case "swapped":
            cat.write_bytes(b"2")
            dog.write_bytes(b"1")
        case "cut":
            cat.write_bytes(b"")
        case "added":
            cat.with_name("3.jpg").write_bytes(b"3")
        case "pipe":
            cat.unlink()
            os.mkfifo(cat)
        case "contents":
            contents.write_text(contents.read_text()[:20])
        case "no contents":
            contents.unlink()
    again = find_photos(path, cache=tmp_path / "cache").photos
    assert [photo.path.read_bytes() for photo in again] == [b"1", b"2"]
    assert "is damaged (" in capsys.readouterr().err
    assert not list((tmp_path / "cache").glob(".*"))


def test_folder_that_another_process_mends_meanwhile_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = zipped(tmp_path / "data.zip", FILES)
    find_photos(path, cache=tmp_path / "cache")
    [folder] = tmp_path.glob("cache/unpacked-*")
    mended, look = tmp_path / "mended", archives.checksums_below
    shutil.copytree(folder, mended)
    (folder / "photos/photos/cat/1.jpg").unlink()

    def look_slowly(below: Path) -> dict[str, int]:
        found = look(below)
        if mended.exists():
            shutil.rmtree(folder)
            mended.rename(folder)
        return found

    monkeypatch.setattr(archives, "checksums_below", look_slowly)
    kept = mended.stat().st_ino
    assert len(find_photos(path, cache=tmp_path / "cache").photos) == 2
    assert folder.stat().st_ino == kept
    assert "damaged" not in capsys.readouterr().err


def test_leftovers_of_killed_processes_are_removed_after_a_day(tmp_path: Path) -> None:
    for name, hours in ((".unpacked-old.partial", 25), (".unpacked-new.partial", 23), (".other", 25)):
        (tmp_path / "cache" / name / "photos").mkdir(parents=True)
        os.utime(tmp_path / "cache" / name, times=(time.time() - hours * 3600,) * 2)
    find_photos(zipped(tmp_path / "data.zip", FILES), cache=tmp_path / "cache")
    assert sorted(each.name for each in (tmp_path / "cache").glob(".*")) == [
        ".other",
        ".unpacked-new.partial",
    ]


HOSTILE = (
    "../escaped.jpg",
    "/tmp/escaped.jpg",
    "cat/../../escaped.jpg",
    "..\\escaped.jpg",
    "C:\\escaped.jpg",
)


@pytest.mark.parametrize("make", [zipped, tarred])
def test_no_entry_is_written_outside(make, tmp_path: Path) -> None:
    cache = tmp_path / "a" / "b" / "cache"
    listing = find_photos(make(tmp_path / "data", FILES | dict.fromkeys(HOSTILE, b"x")), cache=cache)
    assert len(listing.photos) == 2
    assert [each.detail for each in listing.left_out if each.reason == "archive"] == [
        "its path leads out of the archive"
    ] * len(HOSTILE)
    assert not list(tmp_path.rglob("*escaped*"))
    assert not Path("/tmp/escaped.jpg").exists()


def test_links_lead_nowhere_but_into_the_archive(tmp_path: Path) -> None:
    path = tmp_path / "data.tar"
    (tmp_path / "secret").write_bytes(b"secret")
    with tarfile.open(path, "w") as archive:
        for name, kind, target in (
            ("cat/1.jpg", tarfile.REGTYPE, ""),
            ("dog/hard.jpg", tarfile.LNKTYPE, "cat/1.jpg"),
            ("dog/soft.jpg", tarfile.SYMTYPE, "../cat/1.jpg"),
            ("dog/out.jpg", tarfile.SYMTYPE, str(tmp_path / "secret")),
            ("dog/out-hard.jpg", tarfile.LNKTYPE, "../../secret"),
            ("dog/itself.jpg", tarfile.SYMTYPE, "itself.jpg"),
            ("dog/device", tarfile.CHRTYPE, ""),
        ):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.size = kind, target, 3 * (kind == tarfile.REGTYPE)
            archive.addfile(entry, io.BytesIO(b"cat"))
    listing = find_photos(path, cache=tmp_path / "cache")
    assert {photo.path.name: photo.path.read_bytes() for photo in listing.photos} == {
        "1.jpg": b"cat",
        "hard.jpg": b"cat",
        "soft.jpg": b"cat",
    }
    assert {each.path.name for each in listing.left_out} == {
        "out.jpg",
        "out-hard.jpg",
        "itself.jpg",
        "device",
    }
    linked = zipfile.ZipInfo("dog/link.jpg")
    linked.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr("cat/1.jpg", b"1")
        archive.writestr("dog/2.jpg", b"2")
        archive.writestr(linked, "/etc/passwd")
    listing = find_photos(tmp_path / "data.zip", cache=tmp_path / "cache")
    assert left_out(listing) == {"dog/link.jpg": "archive"}


def test_bomb_is_refused_before_it_fills_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MIN_LIMIT_BYTES", 1_000_000)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cat/1.jpg", bytes(2_000_000))
    with pytest.raises(DatasetError, match=r"bomb\.zip cannot be unpacked: it unpacks to more than 20 times"):
        find_photos(tmp_path / "bomb.zip", cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    monkeypatch.setattr(archives, "MAX_FILES", 2)
    with pytest.raises(DatasetError, match="it has more than 2 entries"):
        find_photos(zipped(tmp_path / "many.zip", FILES), cache=tmp_path / "cache")


def test_damaged_and_encrypted_archives_are_one_sentence(tmp_path: Path) -> None:
    path = zipped(tmp_path / "data.zip", FILES)
    data = bytearray(path.read_bytes())
    data[data.index(b"1.jpg") + 5] ^= 0xFF  # a byte of the first photo
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=r"data\.zip cannot be unpacked: Bad CRC-32"):
        find_photos(path, cache=tmp_path / "cache")
    data = bytearray(zipped(path, FILES).read_bytes())
    data[6] |= 1  # the flag of encryption, in the entry
    data[data.index(b"PK\x01\x02") + 8] |= 1  # and in the directory
    path.write_bytes(data)
    with pytest.raises(DatasetError, match="is encrypted, password required"):
        find_photos(path, cache=tmp_path / "cache")


def test_damaged_lzma_is_one_sentence(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "data.tar.xz", "w:xz") as archive:
        for name in FILES:
            content = Random(name).randbytes(200_000)
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    data = bytearray((tmp_path / "data.tar.xz").read_bytes())
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "data.tar.xz").write_bytes(data)
    with pytest.raises(DatasetError, match=r"data\.tar\.xz cannot be unpacked: "):
        find_photos(tmp_path / "data.tar.xz", cache=tmp_path / "cache")


def test_names_keep_their_bytes(tmp_path: Path) -> None:
    """macOS writes UTF-8 without the flag that says so; old tools write what their system had."""
    data = zipped(tmp_path / "data.zip", {"cat/AB.jpg": b"1", "dog/CD.jpg": b"2"}).read_bytes()
    (tmp_path / "data.zip").write_bytes(
        data.replace(b"AB.jpg", b"\xc3\xa9.jpg").replace(b"CD.jpg", b"\xe9-.jpg")
    )
    listing = find_photos(tmp_path / "data.zip", cache=tmp_path / "cache")
    assert [os.fsencode(photo.path.name) for photo in listing.photos] == [b"\xc3\xa9.jpg", b"\xe9-.jpg"]


def test_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*arguments: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archives, "_write", no_room)
    with pytest.raises(DatasetError, match=r"No space left on device; name another folder with --cache"):
        find_photos(zipped(tmp_path / "data.zip", FILES), cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("make", [zipped, tarred])
def test_entries_that_get_in_each_others_way(make, tmp_path: Path) -> None:
    files = FILES | {"photos/dog/x": b"x", "photos/dog/x/y.jpg": b"y", "photos/cat/" + "n" * 300: b"n"}
    listing = find_photos(make(tmp_path / "data", files), cache=tmp_path / "cache")
    assert counts(listing) == {(None, "cat"): 1, (None, "dog"): 2}
    assert {each.path.name[:5]: each.detail for each in listing.left_out if each.reason == "archive"} == {
        "y.jpg": "another entry is a file where it needs a folder",
        "nnnnn": "its name is too long",
    }


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_compressed_tar_is_read_to_its_checksum(mode: str, tmp_path: Path) -> None:
    files = {name: Random(name).randbytes(50_000) for name in ("cat/1.jpg", "dog/2.jpg")}
    path = tarred(tmp_path / "data.tar", files, mode)
    data = bytearray(path.read_bytes())
    place = len(data) - (8 if mode == "w:gz" else 100)
    data[place] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(
        DatasetError, match=r"data\.tar (cannot be unpacked: |is called like an archive, but its)"
    ):
        find_photos(path, cache=tmp_path / "cache")


def test_damaged_header_is_not_the_end(tmp_path: Path) -> None:
    path = tarred(
        tmp_path / "data.tar", {f"{label}/{n}.jpg": b"x" for label in ("cat", "dog") for n in range(4)}, "w"
    )
    data = bytearray(path.read_bytes())
    data[6 * 1024 + 10] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=r"cannot be unpacked: the header of an entry is damaged"):
        find_photos(path, cache=tmp_path / "cache")


def test_linked_folders_hold_what_they_lead_to(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for name in ("cat/1.jpg", "cat/2.jpg", "store/dogs/3.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    for name, target in (("dog", "store/dogs"), ("bird", "dog"), ("cat/all", ".."), ("out", "/etc")):
        (folder / name).symlink_to(target)
    with tarfile.open(tmp_path / "data.tar", "w") as archive:
        archive.add(folder, "photos")
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as packed:
        for path in folder.rglob("*"):
            entry = zipfile.ZipInfo(str(path.relative_to(folder)))
            entry.external_attr = (0o120777 if path.is_symlink() else 0o100644) << 16
            if path.is_symlink() or path.is_file():
                packed.writestr(entry, str(path.readlink()) if path.is_symlink() else path.read_bytes())
    for name in ("data.tar", "data.zip"):
        listing = find_photos(tmp_path / name, cache=tmp_path / "cache")
        assert counts(listing) == {(None, "cat"): 2, (None, "dog"): 1, (None, "bird"): 1, (None, "store"): 1}
        assert {each.path.name for each in listing.left_out} == {"all", "out"}


def test_list_in_an_archive_names_no_file_outside(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    for place in (tmp_path / "secret.jpg", tmp_path / "cache" / "secret.jpg"):
        place.write_bytes(b"secret")
    rows = f"a.jpg,cat\nb.jpg,dog\n{tmp_path}/secret.jpg,cat\n../../secret.jpg,dog\nx/../b.jpg,dog\n"
    files = {"metadata.csv": f"file_name,label\n{rows}".encode(), "a.jpg": b"1", "b.jpg": b"2"}
    listing = find_photos(zipped(tmp_path / "data.zip", files), cache=tmp_path / "cache")
    assert {photo.path.name for photo in listing.photos} == {"a.jpg", "b.jpg"}
    assert [each.reason for each in listing.left_out] == ["missing", "missing", "listed twice"]
