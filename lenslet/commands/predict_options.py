"""Options of `lenslet predict`, and the output that they name."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lenslet.commands.options import add_options, here_or_shipped
from lenslet.commands.parser import CommandParser, whole_number
from lenslet.inference.errors import InputError

if TYPE_CHECKING:
    from lenslet.batch.run import Target


def target_of(arguments: argparse.Namespace) -> "Target":
    """Raises: InputError if the options do not fit together."""
    from lenslet.batch.run import Target, target_of_file, target_of_place

    if arguments.csv and arguments.out:
        raise InputError("--csv FILE is --out FILE as CSV: give one of them")
    target = Target()
    if arguments.csv:
        target = target_of_file(arguments.csv, "csv")
    elif arguments.out:
        target = target_of_place(arguments.out, arguments.format)
    if (arguments.shard or arguments.check) and (target.file or not target.place):
        raise InputError("--shard and --check need --out with a folder or s3://bucket/prefix")
    return target


def add_predict_options(parser: CommandParser) -> None:
    add = parser.add_argument
    add("places", nargs="+", metavar="PLACE", help="photos, folders, lists, archives, s3://bucket/prefix")
    add_options(parser, "--model", default=here_or_shipped("model"))
    out = "a .csv, .jsonl or .parquet file, or a folder or s3://bucket/prefix of parts"
    add("--out", metavar="PLACE", help=out)
    add("--csv", type=Path, metavar="FILE", help="write all probabilities to this file, as CSV")
    add("--format", choices=("csv", "jsonl", "parquet"), help="of parts (jsonl)")
    add("--workers", type=whole_number(1, 1000), metavar="N", help="processes (one for each processor)")
    add("--part-photos", type=whole_number(1, 1_000_000), metavar="N", help="photos of a part (25 to 1,000)")
    shard = "classify every N-th part alone, as one task of an array job; auto: the task's number"
    add("--shard", metavar="I/N", help=shard)
    ray = "classify on the Ray cluster at this address; local: on a new one on this computer"
    add("--ray", metavar="ADDRESS", help=ray)
    add(
        "--aws", metavar="STAGE", help="let AWS classify s3://… into s3://… (infra/batch.yaml), and follow it"
    )
    add("--check", action="store_true", help="say which parts of --out are missing; exit code 1 if any is")
    add("--image-column", default="auto", metavar="NAME", help="column of a list that holds paths or URLs")
    root = "folder or s3://bucket/prefix that the paths in a list are relative to (default: that of the list)"
    add("--root", default="auto", metavar="PLACE", help=root)
    add_options(parser, "--cache", help="unpacked archives, photos out of lists (%(default)s)")
    add("--submission", type=Path, metavar="FILE", help="write id,label to this file")
    add("--positive", metavar="LABEL", help="of two labels, the one whose probability it holds")
    add("--keep-extension", action="store_true", help="ids as photo.jpg instead of photo")
    add_options(parser, "--json")


def after_ctrl_c(arguments: argparse.Namespace) -> str:
    """What happens to the work that was begun."""
    if arguments.aws:
        return "; AWS goes on: give the same command again to look at it"
    is_kept = arguments.csv or arguments.out
    return "; what is done is kept: give the same command again to continue" if is_kept else ""
