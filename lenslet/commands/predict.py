"""Classify photos on this computer with a model folder, no server needed.

    lenslet predict holiday.jpg my_folder --model out/mine --csv predictions.csv

Folders are searched through. Prints a table and, with --csv, writes one row per file: the probability of every
label, or why it could not be read.

With --submission, writes `id,label`, sorted, as competition sites score it. The id is the file's name without its
extension. The label is, of two labels, the probability of --positive (else of the second one); of more, the most
probable one. An unreadable photo gets the mean, or the most frequent label, of the others: no id may be missing.
"""

from pathlib import Path

from lenslet.commands.options import add_options, here_or_shipped
from lenslet.commands.output import json_output
from lenslet.commands.parser import CommandParser, parser_for


def main(argv: list[str] | None = None) -> int:
    arguments = make_parser().parse_args(argv)

    from lenslet.batch.files import find_files
    from lenslet.batch.local import classify_files
    from lenslet.batch.tables import predictions_json, text_table, write_csv
    from lenslet.inference.atomic import probe_file, write_or_keep
    from lenslet.inference.classifier import Classifier
    from lenslet.reporting.submission import check_ids, check_positive, make_submission, write_submission

    classifier = Classifier.load(arguments.model)
    labels = classifier.artifact.labels
    check_positive(labels, arguments.positive)
    paths = find_files(arguments.photos)
    if arguments.submission:
        check_ids(paths, arguments.keep_extension)
    for option, place in {"--csv": arguments.csv, "--submission": arguments.submission}.items():
        if place:
            probe_file(place, option)

    with json_output(arguments.json) as print_json:
        rows = classify_files(classifier, paths)
        print(text_table(rows))
        print_json(predictions_json(rows))
        if arguments.csv:
            write_or_keep(
                lambda folder: write_csv(rows, labels, folder / arguments.csv.name), arguments.csv.parent
            )
            print(f"written: {arguments.csv}")
        if arguments.submission:
            answers = [(row.path, row.prediction) for row in rows]
            made = make_submission(answers, labels, arguments.positive, arguments.keep_extension)
            place = arguments.submission
            write_or_keep(lambda folder: write_submission(made, folder / place.name), place.parent)
            print(f"written: {arguments.submission}: {'; '.join(made.remarks)}")
    return 0 if any(row.prediction for row in rows) else 1


def make_parser() -> CommandParser:
    parser = parser_for("predict", __doc__)
    add = parser.add_argument
    add("photos", type=Path, nargs="+", metavar="PATH", help="photos, or folders of photos")
    add_options(parser, "--model", default=here_or_shipped("model"))
    add("--csv", type=Path, metavar="FILE", help="write all probabilities to this file")
    add("--submission", type=Path, metavar="FILE", help="write id,label to this file")
    add("--positive", metavar="LABEL", help="of two labels, the one whose probability it holds")
    add("--keep-extension", action="store_true", help="ids as photo.jpg instead of photo")
    add_options(parser, "--json")
    return parser
