"""Compare what an endpoint answered with the reference distributions of its model; no labels are needed.

    lenslet drift function.log --model model
    lenslet drift answers.csv
    lenslet drift cloudwatch:///aws/lambda/lenslet-production --since 2026-11-01 --until 2026-11-08
    lenslet drift --schedule production > drift.json     daily alarms for CloudFormation, with this model's figures

Prints the estimated accuracy, tests of the scores and of the predicted labels, and the estimated shares of the true
labels; writes a page with plots. Exit code 0 without an alarm, 1 with one, 2 if the source cannot be read. `--windows`
says how many windows share the rate of false alarms (5 %): 30 for one window a day, judged by the month.
"""

import sys
from pathlib import Path

from lenslet.commands.options import add_options, here_or_shipped
from lenslet.commands.parser import CommandParser, parser_for, whole_number
from lenslet.commands.report_places import report_file
from lenslet.inference.errors import InputError


def main(argv: list[str] | None = None) -> int:
    arguments = make_parser().parse_args(argv)

    from lenslet.evaluation.reference import from_json
    from lenslet.inference.artifact import read_artifact
    from lenslet.inference.atomic import probe_file, write_text
    from lenslet.monitoring.drift import DriftLimits, measure, report_json, table
    from lenslet.monitoring.page import page
    from lenslet.monitoring.schedule import alarms_template
    from lenslet.monitoring.sources import moment, read_window

    if (arguments.source is None) == (arguments.schedule is None):
        raise InputError("give either the answers, or --schedule with the name of a stage")
    artifact = read_artifact(arguments.model)
    try:
        reference = from_json(artifact.reference, len(artifact.labels))
        since, until = moment(arguments.since), moment(arguments.until)
    except ValueError as error:
        raise InputError(str(error)) from error
    limits = DriftLimits(windows=arguments.windows)
    if arguments.schedule:
        print(alarms_template(artifact, reference, arguments.schedule, limits))
        return 0
    window = (arguments.model.resolve(), arguments.since, arguments.until)
    place = arguments.page or report_file("drift", ".html", arguments.source, *window)
    probe_file(place, "--page")
    books = read_window(arguments.source, artifact.labels, since, until, artifact.version)
    report = measure(reference, books.window, limits)
    if arguments.json:
        print(report_json(report, artifact.labels, books.lines, books.left_out))
    else:
        for reason, count in books.left_out.items():
            print(f"left out: {count:,} × {reason}")
        print(table(report, artifact.labels))
    write_text(place, page(report, reference, books.window, artifact.labels, artifact.name))
    print(f"page: {place}", file=sys.stderr)
    return 1 if report.is_alarm else 0


def make_parser() -> CommandParser:
    parser = parser_for("drift", __doc__)
    add = parser.add_argument
    add(
        "source",
        nargs="?",
        help="the function's log (JSON lines), CSV or JSON Lines of lenslet predict, or cloudwatch://LOG-GROUP",
    )
    add_options(parser, "--model", default=here_or_shipped("model"), help="model that answered (%(default)s)")
    add("--since", metavar="TIME", help="ISO 8601, UTC unless it says otherwise; first moment of the window")
    add("--until", metavar="TIME", help="end of the window, itself outside")
    add(
        "--windows",
        type=whole_number(1),
        default=30,
        metavar="N",
        help="windows that share 5 %% of false alarms (%(default)s)",
    )
    named = "HTML page to write (report/drift-SOURCE-….html, another for each model and window)"
    add("--page", type=Path, metavar="FILE", help=named)
    add(
        "--schedule",
        choices=("staging", "production"),
        help="print a CloudFormation template with daily alarms of this stage instead",
    )
    add_options(parser, "--json")
    return parser
