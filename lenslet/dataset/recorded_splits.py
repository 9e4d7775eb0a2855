"""The split of each photo of a training, by its content: kept with the model, whatever later versions would draw."""

from base64 import b64decode, b64encode
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from lenslet.dataset.dataset import Dataset
from lenslet.dataset.photos import LeftOut, Photo

BYTES = 8  # of a photo's sha256 that are kept: among a million photos, two are the same once in 37 million data sets
UNUSED = "unused"  # training photos of other folds

Recorded = Mapping[
    str, frozenset[str]
]  # first digits of a photo's sha256 → its splits: people may give a copy another


def packed_splits(dataset: Dataset) -> dict[str, str]:
    """Split → the first `BYTES` of the sha256 of each of its photos, sorted, in base64."""
    found: dict[str, set[bytes]] = defaultdict(set)
    for photo, digest in zip(dataset.photos, dataset.hashes, strict=True):
        found[photo.split or UNUSED].add(bytes.fromhex(digest)[:BYTES])
    return {split: b64encode(b"".join(sorted(each))).decode() for split, each in sorted(found.items())}


def unpacked_splits(packed: Mapping[str, str]) -> Recorded:
    """Raises: ValueError if it is not what `packed_splits` gives."""
    found: dict[str, set[str]] = defaultdict(set)
    for split, text in packed.items():
        data = b64decode(text, validate=True)
        for start in range(0, len(data), BYTES):
            found[data[start : start + BYTES].hex()].add(split)
    return {digest: frozenset(splits) for digest, splits in found.items()}


def key_of(digest: str) -> str:
    """Name in `Recorded` of the photo with this sha256."""
    return digest[: 2 * BYTES]


def is_complete(recorded: Recorded, hashes: Sequence[str]) -> bool:
    """Whether every photo of the training is among these."""
    return bool(recorded) and recorded.keys() <= {key_of(digest) for digest in hashes}


def others(recorded: Recorded, photos: Sequence[Photo], hashes: Sequence[str]) -> dict[int, LeftOut]:
    """Position → why it is left out, of the photos that the training did without."""
    return {
        number: LeftOut(photo.path, "not in training")
        for number, (photo, digest) in enumerate(zip(photos, hashes, strict=True))
        if key_of(digest) not in recorded
    }


def with_recorded_splits(recorded: Recorded, photos: Sequence[Photo], hashes: Sequence[str]) -> list[Photo]:
    """The photos in the splits of the training. Of a copy with several splits, each keeps the one that it came with."""
    assigned = []
    for photo, digest in zip(photos, hashes, strict=True):
        splits = recorded[key_of(digest)]
        split = photo.split if photo.split in splits else min(splits)
        assigned.append(replace(photo, split=None if split == UNUSED else split))
    return assigned
