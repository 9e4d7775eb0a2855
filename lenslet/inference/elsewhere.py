"""Files of a project that a command was started below of: in which folder above they are."""

import re
from pathlib import Path

MISSING = re.compile(r"(\S+) does not exist")


def folder_above(name: str) -> Path | None:
    """The nearest folder above the current one that holds the relative path `name`; None if it is here or nowhere."""
    path = Path(name)
    if path.is_absolute() or ".." in path.parts or path.exists():
        return None
    return next((folder for folder in Path.cwd().parents if (folder / path).exists()), None)


def where_it_is(sentence: str) -> str:
    """Where to go, as the end of an error's sentence, if what "does not exist" here does so in a folder above."""
    for name in MISSING.findall(sentence):
        if folder := folder_above(name):
            return f"; {name} is in {folder}, from where the command would find it"
    return ""
