"""Names of splits: which split a folder, a list or a word in a column stands for."""

import re
from collections.abc import Iterable

# Split → what its folders are called, less the affixes.
SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
# Photos without labels that lie beside the splits.
UNLABELLED_NAMES = ("pred", "predict", "prediction", "unlabelled", "unlabeled", "unknown", "inference")
# seg_train (Intel Image Classification), 1_train, trainset, test-images, val2017 (COCO), test1 (Kaggle)
AFFIXES = re.compile(
    r"^(seg|\d+)[ _.-]+|[ _-]?(sets?|data|dataset|images?|imgs?|photos?|dir|split|folder|jpe?g|png|\d+)$"
)
WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


def split_of(name: str) -> str | None:
    """The split that a folder of this name, or this word in a list, may stand for."""
    plain = plain_name(name)
    return next((split for split, names in SPLIT_NAMES.items() if plain in names), None)


def is_unlabelled(name: str) -> bool:
    return plain_name(name) in UNLABELLED_NAMES


def split_in(name: str) -> tuple[str | None, str]:
    """The split that one word of the name stands for, as in `trainLabels` and `cars_test`, and the rest of the name."""
    words = [word.lower() for word in WORDS.findall(name)]
    splits = {word: split_of(word) for word in words}
    found = {split for split in splits.values() if split}
    rest = " ".join(word for word in words if not splits[word])
    return (found.pop(), rest) if len(found) == 1 else (None, rest)


def split_folders_by_name(names: Iterable[str]) -> dict[str, str]:
    """Name → split, of these names of folders: `train` and the like, else `cars_train` beside `cars_test`."""
    plain = {name: split for name in names if (split := split_of(name))}
    if plain:
        return plain
    by_rest: dict[str, dict[str, str]] = {}
    for name in names:
        split, rest = split_in(name)
        if split:
            by_rest.setdefault(rest, {})[name] = split
    return next((each for each in by_rest.values() if len(set(each.values())) > 1), {})


def plain_name(name: str) -> str:
    """The name in small letters, without what is put before and after the names of splits."""
    plain, before = name.strip().lower(), ""
    while plain != before:
        before, plain = plain, AFFIXES.sub("", plain)
    return plain or before
