"""Uploads and annotations of the bucket as one data set: metadata.csv in a copy of its photos.

    python -m infra.training_photos s3://bucket/photos data/photos

The folder is a copy of s3://bucket/photos. Its uploads, the folders that hold a file _READY, are read one by one as
`lenslet train` reads a folder, and listed together; an upload without _READY is left out. A folder without any upload
is one data set already. Annotations beside the photos (s3://bucket/annotations, an export storage of Label Studio)
count as in `lenslet retrain`: they correct training photos or add to them; validation and test photos keep their
labels. Prints what is used and left out. Exit code 2 with a sentence if something cannot be read.
"""

import argparse
import csv
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from infra.console import say
from infra.preflight import ReleaseError
from lenslet.config import TrainParams, read_params
from lenslet.dataset.csv_file import write_cells
from lenslet.dataset.layouts import find_photos
from lenslet.dataset.photos import Photo
from lenslet.dataset.remote import answered, bucket_client, fetch_all
from lenslet.inference.artifact import sha256_of
from lenslet.inference.errors import InputError
from lenslet.inference.object_keys import S3_URL, objects_below
from lenslet.labelling.annotations import Row
from lenslet.labelling.pull import pull_into
from lenslet.labelling.retraining import LIST_COLUMNS, compose, path_below

READY, LIST, ANNOTATED = "_READY", "metadata.csv", "annotated"
PHOTOS, ANNOTATIONS = "photos", "annotations"  # the prefixes of infra/data.yaml


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m infra.training_photos", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("source", help="s3://bucket/prefix that the folder is a copy of")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cache", type=Path, default=Path(".cache"))
    arguments = parser.parse_args(argv)
    try:
        params = read_params(Path("params.yaml")).train
        list_photos(arguments.source.rstrip("/"), arguments.folder, params, arguments.cache)
    except (ReleaseError, InputError, OSError) as error:
        print(f"infra.training_photos: {error}", file=sys.stderr)
        return 2
    return 0


def list_photos(source: str, folder: Path, params: TrainParams, cache: Path) -> None:
    """Write the list, if there is an upload or an annotation. Raises: ReleaseError, InputError."""
    photos = uploaded(folder, params, cache)
    if photos:
        write_list(folder, photos)
    rows, fetched = annotated(source, folder, cache)
    if rows:
        say(compose(folder / LIST, folder, rows, params, cache, relative_to=folder).text())
    for place, file in fetched.items():  # not before: in the folder of `compose` they would be a class
        place.parent.mkdir(exist_ok=True)
        shutil.copyfile(file, place)
    if photos or rows:
        check(folder, params, cache)


# --- uploads


def uploaded(folder: Path, params: TrainParams, cache: Path) -> list[Photo]:
    """The photos of all whole uploads, with their labels. Raises: ReleaseError, DatasetError."""
    uploads = sorted({marker.parent for marker in folder.rglob(READY)} - {folder})
    photos: list[Photo] = []
    for upload in uploads:
        if above := [each for each in uploads if each in upload.parents]:
            raise ReleaseError(f"upload {upload} lies in another one, {above[0]}: move one of them")
        found = find_photos(upload, params.list, cache, min_classes=0)
        counts = Counter(photo.label for photo in found.photos)
        classes = ", ".join(f"{label} {count:,}" for label, count in sorted(counts.items()))
        say(f"{upload.relative_to(folder)}: {len(found.photos):,} photos ({classes or 'none has a label'})")
        photos += found.photos
    for name, count in sorted(unfinished(folder, uploads).items()) if uploads else ():
        say(f"{name} is in no upload with {READY}, and left out: {count:,} files")
    return photos


def unfinished(folder: Path, uploads: Sequence[Path]) -> Counter[str]:
    """Name in the folder → its files that belong to no upload."""
    files = (each for each in folder.rglob("*") if each.is_file() and not {*uploads} & {*each.parents})
    return Counter(file.relative_to(folder).parts[0] for file in files)


def write_list(folder: Path, photos: Sequence[Photo]) -> None:
    rows = [
        (path_below(folder, str(photo.path.resolve())), photo.label, photo.split or "") for photo in photos
    ]
    write_cells(folder / LIST, LIST_COLUMNS, rows)


# --- annotations


def annotated(source: str, folder: Path, cache: Path) -> tuple[list[Row], dict[Path, Path]]:
    """Annotations whose photos are files of the folder, or become some.

    Returns: the annotations, and place in the folder → fetched file for photos that lie elsewhere in the bucket.
    Raises: InputError if S3 refuses, or an object is no annotation of Label Studio.
    """
    place = annotations_beside(source)
    if not place:
        return [], {}
    pulled, _ = pull_into(cache / "annotations.csv", ANNOTATIONS, place, cache)
    bucket, prefix = S3_URL.match(source).groups()  # type: ignore[union-attr]
    here = f"s3://{bucket}/{prefix}/"
    links = [
        row.image
        for row in pulled.rows
        if row.image.startswith(f"s3://{bucket}/") and not row.image.startswith(here)
    ]
    files = fetch_all(links, cache)
    rows: list[Row] = []
    fetched: dict[Path, Path] = {}
    left_out = Counter({reason: len(images) for reason, images in pulled.left_out.items()})
    for row in pulled.rows:
        file = files.get(row.image)
        if row.image.startswith(here):
            path = folder / row.image.removeprefix(here)
        elif isinstance(file, Path):
            path = folder / ANNOTATED / name_of(file, row.image)
            fetched[path] = file
        else:
            left_out["its photo cannot be fetched" if file else f"its photo is not in s3://{bucket}"] += 1
            continue
        is_there = path.is_file() and path.resolve().is_relative_to(
            folder.resolve()
        )  # no ../ of an annotation
        if is_there or path in fetched:
            rows.append(replace(row, image=str(path)))
        else:
            left_out["its photo was deleted"] += 1
    say(f"{place}: {pulled.tasks:,} annotated tasks, {len(rows):,} labels are used")
    for reason, count in sorted(left_out.items()):
        say(f"{count:,} left out: {reason}")
    return rows, fetched


def annotations_beside(source: str) -> str:
    """The prefix of the annotations; empty if there are none: a snapshot has them in its list."""
    match = S3_URL.match(source)
    if not match or PurePosixPath(source).name != PHOTOS:
        return ""
    bucket, prefix = match.groups()
    beside = str(PurePosixPath(prefix).with_name(ANNOTATIONS))
    objects = answered(lambda: next(objects_below(bucket_client(), bucket, beside), None), source)
    return f"s3://{bucket}/{beside}" if objects else ""


def name_of(file: Path, address: str) -> str:
    """By content, so that a photo which is annotated twice is one file."""
    return sha256_of(file.read_bytes()) + PurePosixPath(address).suffix


def check(folder: Path, params: TrainParams, cache: Path) -> None:
    """Raises: ReleaseError unless the folder is read as its list says: another list in it may count, too."""
    with (folder / LIST).open(newline="", encoding="utf-8") as file:
        listed = sum(1 for _ in csv.DictReader(file))
    found = find_photos(folder, params.list, cache)
    if len(found.photos) != listed:
        raise ReleaseError(
            f"{folder / LIST} names {listed:,} photos, and {len(found.photos):,} are read in {folder} "
            f"({found.layout}): are there other lists in it? Then put them into an upload"
        )


if __name__ == "__main__":
    sys.exit(main())
