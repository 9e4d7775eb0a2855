"""Choose the photos that people should label next, bring them to Label Studio, and take the labels back.

    lenslet label next my_photos --count 100                    prints the photos to label, the most useful first
    lenslet label push my_photos --project scenes --count 100   makes tasks of them, with the model's answer on each
    lenslet label push --feedback corrections --project scenes  makes tasks of what callers corrected (POST /feedback)
    lenslet label pull --project scenes --out labels.csv        image, label, annotator, date, agreement
    lenslet label backend --endpoint http://127.0.0.1:8080      answers Label Studio's own requests for predictions
    lenslet train --data labels.csv --out out/second

Useful means: a small margin between the two most probable labels. Photos that look out of distribution come last;
copies are labelled once; nothing is pushed twice. Photos may lie in folders and at s3://bucket/prefix, whose objects
Label Studio shows with its own rights; `pull --export s3://bucket/prefix` reads an S3 export storage instead of asking
Label Studio, which is the one at LABEL_STUDIO_URL (http://127.0.0.1:8090, which `make label-studio` starts); the token
stands in LABEL_STUDIO_TOKEN.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from lenslet.commands.options import add_options, here_or_shipped
from lenslet.commands.parser import CommandParser, parser_for, whole_number


def main(argv: list[str] | None = None) -> int:
    arguments = make_parser().parse_args(argv)

    from lenslet.commands import label_backend, label_steps

    steps: dict[str, Callable[..., int]] = {
        "next": label_steps.choose,
        "push": label_steps.push_photos,
        "pull": label_steps.pull,
        "backend": label_backend.serve_backend,
    }
    return steps[arguments.step](**{name: value for name, value in vars(arguments).items() if name != "step"})


def make_parser() -> CommandParser:
    parser = parser_for("label", __doc__)
    steps = parser.add_subparsers(dest="step", required=True, metavar="next | push | pull | backend")
    following = steps.add_parser("next", help="print the photos to label next")
    following.add_argument(
        "source", metavar="PHOTOS", help="unlabelled photos: a folder, or s3://bucket/prefix"
    )
    add_choice(following)
    pushing = steps.add_parser("push", help="make tasks of them in Label Studio")
    pushing.add_argument(
        "source", metavar="PHOTOS", nargs="?", help="unlabelled photos: a folder, or s3://bucket/prefix"
    )
    pushing.add_argument(
        "--feedback",
        metavar="PLACE",
        help="instead of unlabelled photos: what LENSLET_FEEDBACK of an endpoint names",
    )
    add_choice(pushing)
    pushing.add_argument(
        "--document-root",
        type=Path,
        default=Path.cwd(),
        metavar="FOLDER",
        help="folder that Label Studio serves local files from (the current one)",
    )
    pulling = steps.add_parser("pull", help="write the annotations of a project into a list")
    pulling.add_argument("--out", type=Path, default=Path("labels.csv"), help="list to write (%(default)s)")
    pulling.add_argument("--export", metavar="S3", help="read this S3 export storage of the project instead")
    add_options(pulling, "--cache")
    for each in (pushing, pulling):
        each.add_argument("--project", required=True, metavar="NAME", help="title of the project")
    for each in (following, pushing, pulling):
        add_options(each, "--json")
    add_backend(steps.add_parser("backend", help="serve predictions to Label Studio while people label"))
    return parser


def add_choice(parser: argparse.ArgumentParser) -> None:
    """Add the options of the choice of photos."""
    add = parser.add_argument
    add("--count", type=whole_number(1), default=100, metavar="N", help="photos to label (%(default)s)")
    add_options(parser, "--model", default=here_or_shipped("model"))
    add_options(parser, "--cache")
    add("--labelled", type=Path, metavar="LIST", help="list of pull: its photos need no label")


def add_backend(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Connect it in Label Studio under Settings › Model. It holds no model: the endpoint answers, with the key in "
        "LENSLET_API_KEY. Add the address with /webhook under Settings › Webhooks, with the header X-Lenslet-Secret "
        "where LABEL_STUDIO_WEBHOOK_SECRET is set, to have finished annotations counted."
    )
    add = parser.add_argument
    add(
        "--endpoint",
        default="http://127.0.0.1:8080",
        metavar="URL",
        help="of lenslet serve, or on AWS (%(default)s)",
    )
    add("--host", default="127.0.0.1", help="0.0.0.0 opens it to the network (default: %(default)s)")
    add(
        "--port",
        type=whole_number(0, 65535),
        default=9090,
        metavar="N",
        help="0: a free one (default: %(default)s)",
    )
    add(
        "--counter",
        type=Path,
        default=Path(".lenslet/annotations.json"),
        metavar="FILE",
        help="where annotations are counted (%(default)s)",
    )
    add(
        "--enough",
        type=whole_number(1),
        default=100,
        metavar="N",
        help="annotations for a retraining (%(default)s)",
    )
