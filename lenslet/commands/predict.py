"""Classify photos on this computer, or on many, with a model folder; no server needed.

    lenslet predict holiday.jpg my_folder --model out/mine --csv predictions.csv
    lenslet predict photos.parquet s3://bucket/photos --out answers.parquet

A PLACE is a photo, a folder (searched through), a list (CSV, JSON Lines, Parquet) of paths or URLs, a zip or tar
archive, or s3://bucket/prefix. Up to 50 photos are printed as a table, more are counted. --out takes a file (.csv,
.jsonl, .parquet), a folder or s3://bucket/prefix of parts. There is a row for each photo: the probability of every
label, or why it has none.

Parts are written as they are done. A run that was stopped continues when the same command is given again; with other
photos or another model it refuses to. Array jobs share a folder of parts: --shard 3/16 is the third of sixteen, --shard
auto takes the number from Slurm, AWS Batch or Kubernetes, and --check says what is missing. --aws STAGE lets Step
Functions classify a bucket; Ctrl-C leaves it running, and the same command looks at it again. --ray uses a Ray cluster.

With --submission, writes `id,label`, sorted, as competition sites score it. The id is the file's name without its
extension. The label is, of two labels, the probability of --positive (else of the second one); of more, the most
probable one. An unreadable photo gets the mean, or the most frequent label, of the others: no id may be missing.
"""

import argparse
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lenslet.commands.output import command_line, json_output
from lenslet.commands.parser import CommandParser, parser_for
from lenslet.commands.predict_options import add_predict_options, after_ctrl_c, target_of

if TYPE_CHECKING:
    from lenslet.batch.run import Batch


def main(argv: list[str] | None = None) -> int:
    arguments = make_parser().parse_args(argv)
    if arguments.aws:
        with json_output(arguments.json) as print_json:
            return run_on_aws(arguments, print_json)

    from lenslet.batch.places import ListOptions
    from lenslet.batch.run import Sharing, opened_batch
    from lenslet.batch.shards import Shard, read_shard
    from lenslet.inference.artifact import read_artifact
    from lenslet.inference.atomic import probe_file
    from lenslet.reporting.submission import check_positive

    check_positive(read_artifact(arguments.model).labels, arguments.positive)
    target = target_of(arguments)
    for option, place in {"--csv": arguments.csv, "--submission": arguments.submission}.items():
        if place:
            probe_file(place, option)
    shard = read_shard(arguments.shard, os.environ) if arguments.shard else Shard()
    options = ListOptions(arguments.image_column, arguments.root, arguments.cache)
    sharing = Sharing(is_shared=bool(arguments.shard or arguments.check), is_begun=arguments.check)
    opened = opened_batch(arguments.places, arguments.model, target, options, arguments.part_photos, sharing)
    with json_output(arguments.json) as print_json, opened as batch:
        if arguments.check:
            return report_missing(batch, print_json)
        return run_batch(batch, shard, arguments, print_json)


def run_batch(batch: "Batch", shard: Any, arguments: argparse.Namespace, print_json: Any) -> int:
    from lenslet.batch.ray_cluster import run_on_ray
    from lenslet.batch.screen import SHOWN_PHOTOS, classified, summary, text_table
    from lenslet.reporting.submission import check_ids
    from lenslet.serving.batch_rows import object_of

    labels = batch.plan.labels
    if arguments.submission:
        check_ids(batch.files(), arguments.keep_extension)
    engine = partial(run_on_ray, address=arguments.ray) if arguments.ray else None
    counts = batch.classify(shard, engine, arguments.workers)
    is_whole = shard.count == 1
    is_table = is_whole and batch.plan.photos <= SHOWN_PHOTOS
    print(text_table(list(batch.rows())) if is_table else summary(counts))
    print(classified(counts))
    if is_whole:
        print_json(object_of(row, labels) for row in batch.rows())
        if arguments.submission:
            write_answers(batch, arguments)
    batch.finish()
    if written := arguments.csv or arguments.out:
        print(f"written: {written}")
    return 1 if counts.photos and counts.photos == counts.failed else 0


def write_answers(batch: "Batch", arguments: argparse.Namespace) -> None:
    from lenslet.inference.atomic import write_or_keep
    from lenslet.reporting.submission import make_submission, write_submission

    answers = [(Path(row.file), None if row.error else row) for row in batch.rows()]
    made = make_submission(answers, batch.plan.labels, arguments.positive, arguments.keep_extension)
    place = arguments.submission
    write_or_keep(lambda folder: write_submission(made, folder / place.name), place.parent)
    print(f"written: {arguments.submission}: {'; '.join(made.remarks)}")


def run_on_aws(arguments: argparse.Namespace, print_json: Any) -> int:
    """Returns: 1 if the execution failed, or parts are missing at its end."""
    import boto3

    from lenslet.batch.step_functions import follow, places_on_aws, start

    source, bucket, prefix = places_on_aws(arguments.places, arguments.out)
    execution, is_old = start(arguments.aws, source, bucket, prefix, boto3.client)
    print(f"{'running already' if is_old else 'started'}: {execution}")
    ended = follow(execution, boto3.client("stepfunctions"), print)
    print_json({"execution": execution, "status": ended.status, **ended.output})
    if ended.status != "SUCCEEDED":
        print(
            f"{ended.status}: {ended.reason or 'no reason given'}; what is done is kept: to continue, give the"
        )
        print("same command again, or:")
        print(command_line("aws", "stepfunctions", "redrive-execution", "--execution-arn", execution))
        return 1
    missing, parts = ended.output.get("missing", 0), ended.output.get("parts", 0)
    print(
        f"{parts - missing:,} of {parts:,} parts of {ended.output.get('photos', 0):,} photos: {arguments.out}"
    )
    return 1 if missing else 0


def report_missing(batch: "Batch", print_json: Any) -> int:
    """Say which parts are missing. Returns: 1 if any is."""
    from lenslet.batch.screen import SHOWN_PHOTOS, classified, summary

    plan, missing = batch.plan, batch.missing()
    print(f"{plan.parts - len(missing):,} of {plan.parts:,} parts are there")
    print_json({"parts": plan.parts, "missing": [plan.part_name(number) for number in missing]})
    if missing:
        rest = f" and {len(missing) - SHOWN_PHOTOS:,} more" if len(missing) > SHOWN_PHOTOS else ""
        print(f"missing: {', '.join(plan.part_name(number) for number in missing[:SHOWN_PHOTOS])}{rest}")
        return 1
    counts = batch.counted(range(plan.parts))
    print(f"{summary(counts)}\n{classified(counts)}")
    return 0


def make_parser() -> CommandParser:
    parser = parser_for("predict", __doc__)
    add_predict_options(parser)
    return parser


def unfinished_batch(words: list[str]) -> str:
    return after_ctrl_c(make_parser().parse_args(words))


AFTER_CTRL_C = unfinished_batch
