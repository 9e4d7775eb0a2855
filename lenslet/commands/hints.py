"""The likely option for a mistyped one: of this command, of other commands and tools, or a key of params.yaml."""

import argparse
import re
from collections.abc import Sequence
from difflib import get_close_matches

# Options of former versions, of other commands and of other tools → what they may mean; a command suggests the first
# that it has.
MEANT = {
    "--allow-leaks": ("--leaks keep",),
    "--strangers": ("--ood",),
    "--looks": ("--windows",),
    "--out": ("--report", "--model"),
    "--output": ("--out", "--report", "--model"),
    "--output-dir": ("--out", "--report", "--model"),
    "--dataset": ("--data",),
    "--data-dir": ("--data",),
    "--model": ("--metrics", "--set train.backbone.name=…"),
    "--metrics": ("--report",),
    "--lr": ("--set train.fine_tune.learning_rate=…",),
    "--img-size": ("--set train.image_size=…",),
    "--size": ("--set train.image_size=…",),
    "--time": ("--time-budget",),
    "--minutes": ("--time-budget",),
    "-d": ("--data",),
    "-m": ("--model", "--metrics"),
    "-o": ("--out", "--report", "--model"),
}
# Options by which other commands and tools take what stands without one here.
PLACES = {
    "--data",
    "--photo",
    "--photos",
    "--image",
    "--images",
    "--file",
    "--folder",
    "--dir",
    "--input",
    "--url",
}
INVALID_CHOICE = re.compile(r"invalid choice: (['\"])(.*)\1 \(choose from (.*)\)")


def unknown_options(words: Sequence[str], known: Sequence[str]) -> list[str]:
    """The options among the words of a command line that are not `known`; negative numbers are values."""
    names = [word.partition("=")[0] for word in words if re.match(r"--.|-[^\W\d]", word)]
    return [name for name in names if name not in known]


def remedy(name: str, options: Sequence[str], sections: Sequence[str], place: str) -> str:
    """What to write instead of the unknown option `name`, as the end of a sentence; empty if nothing is likely.

    `options` and `sections` of params.yaml are those of the command; `place`: what it takes without an option, if
    anything.
    """
    for meant in MEANT.get(name, ()):
        option, _, key = meant.partition(" ")
        if option in options and (option != "--set" or key.partition(".")[0] in sections):
            return f"use {meant}"
    if place and (name in PLACES or name == f"--{place}"):
        return f"it is given without one, as {place}"
    close = get_close_matches(name, options, n=1, cutoff=0.75) or likely_settings(name, sections)
    return f"did you mean {' or '.join(close)}?" if close else ""


def likely_settings(name: str, sections: Sequence[str]) -> list[str]:
    """--set with each key of these sections that `name` may mean."""
    if not sections:
        return []
    # Here, and in `params_of`: the image of `lenslet serve` has neither settings nor a YAML reader.
    from lenslet.config import Params
    from lenslet.config.overrides import dotted_keys, likely_keys

    prefixes = tuple(f"{section}." for section in sections)
    keys = [key for key in dotted_keys(Params) if key.startswith(prefixes)]
    return [f"--set {key}=…" for key in likely_keys(name.lstrip("-").replace("-", "_"), keys)]


def likely_choice(message: str) -> str:
    """The likely one for a mistyped choice, as the end of argparse's sentence about it."""
    if not (found := INVALID_CHOICE.search(message)):
        return ""
    close = get_close_matches(found[2], re.findall(r"['\"](.*?)['\"]", found[3]), n=1, cutoff=0.75)
    return f"; did you mean {close[0]}?" if close else ""


def positional(parser: argparse.ArgumentParser) -> str:
    """What a command takes without an option, as its help calls it; empty if it takes nothing, or a command."""
    found = [action for action in parser._actions if not action.option_strings]
    return str(found[0].metavar or found[0].dest) if found else ""
