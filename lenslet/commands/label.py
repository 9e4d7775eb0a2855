"""Labels from people: which photos next, tasks out to Label Studio, annotations back as a list that train reads.

    lenslet label next my_photos --count 100                  prints the photos to label, the most useful first
    lenslet label push my_photos --project scenes --count 100 makes tasks of them, with the model's answer on each
    lenslet label pull --project scenes --out labels.csv      image, label, annotator, date, agreement
    lenslet train --data labels.csv --out out/second

Useful means: a small margin between the two most probable labels, and unlike the other photos of the selection.
Photos that look out of distribution come last; copies are labelled once; nothing is pushed twice. Label Studio is
the one at LABEL_STUDIO_URL (http://127.0.0.1:8090, which `make label-studio` starts); the token stands in
LABEL_STUDIO_TOKEN.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from lenslet.commands.options import add_options, here_or_shipped
from lenslet.commands.parser import CommandParser, parser_for, whole_number
from lenslet.inference.errors import InputError
from lenslet.inference.printable import printable


def main(argv: list[str] | None = None) -> int:
    arguments = make_parser().parse_args(argv)
    step = {"next": choose, "push": push_photos, "pull": pull}[arguments.step]
    return step(arguments)


def make_parser() -> CommandParser:
    parser = parser_for("label", __doc__)
    steps = parser.add_subparsers(dest="step", required=True, metavar="next | push | pull")
    following = steps.add_parser("next", help="print the photos to label next")
    pushing = steps.add_parser("push", help="make tasks of them in Label Studio")
    pulling = steps.add_parser("pull", help="write the annotations of a project into a list")
    for each in (following, pushing):
        add = each.add_argument
        add("folder", type=Path, help="folder of unlabelled photos")
        add("--count", type=whole_number(1), default=100, metavar="N", help="photos to label (%(default)s)")
        add_options(each, "--model", default=here_or_shipped("model"))
        add_options(each, "--cache")
        add("--labelled", type=Path, metavar="LIST", help="list of pull: its photos need no label")
    for each in (pushing, pulling):
        each.add_argument("--project", required=True, metavar="NAME", help="title of the project")
    pushing.add_argument(
        "--document-root",
        type=Path,
        default=Path.cwd(),
        metavar="FOLDER",
        help="folder that Label Studio serves local files from (the current one)",
    )
    pulling.add_argument("--out", type=Path, default=Path("labels.csv"), help="list to write (%(default)s)")
    add_options(following, "--json")
    return parser


def choose(arguments: argparse.Namespace) -> int:
    from lenslet.labelling.candidates import proposal_text

    proposal, _ = proposal_for(arguments, frozenset())
    if arguments.json:
        rows = [
            {
                "path": str(each.path),
                "label": each.prediction.ranked()[0][0],
                "probability": round(each.prediction.ranked()[0][1], 6),
                "is_in_distribution": each.is_in_distribution,
            }
            for each in proposal.candidates
        ]
        print(json.dumps(rows, indent=2))
        return 0
    for each in proposal.candidates:
        label, probability = each.prediction.ranked()[0]
        print(f"{printable(each.path)}  {printable(label)} {probability:.1%}")
    print(proposal_text(proposal), file=sys.stderr)
    return 0


def push_photos(arguments: argparse.Namespace) -> int:
    from lenslet.labelling.candidates import proposal_text
    from lenslet.labelling.label_studio import LabelStudio
    from lenslet.labelling.push import push, pushed_hashes

    studio = LabelStudio.from_environment()
    proposal, artifact = proposal_for(arguments, pushed_hashes(studio, arguments.project))
    project = push(
        studio,
        arguments.project,
        artifact.labels,
        proposal.candidates,
        arguments.document_root,
        f"{artifact.name} {artifact.version}",
    )
    print(proposal_text(proposal))
    print(f"label them at {studio.url}/projects/{project}/data")
    return 0


def pull(arguments: argparse.Namespace) -> int:
    from lenslet.inference.atomic import probe_file
    from lenslet.labelling.annotations import merge_into, read_tasks
    from lenslet.labelling.label_studio import LabelStudio, LabelStudioError

    probe_file(arguments.out, "--out")
    studio = LabelStudio.from_environment()
    found = studio.project(arguments.project)
    if not found:
        raise LabelStudioError(f"{studio.url} has no project {arguments.project!r}")
    pulled = read_tasks(studio.tasks(int(found["id"])), arguments.project)
    rows = merge_into(arguments.out, pulled, arguments.project)
    print(f"{pulled.tasks:,} tasks: {len(pulled.rows):,} labelled")
    for reason, images in pulled.left_out.items():
        first = ", ".join(map(printable, images[:3])) + (" …" if len(images) > 3 else "")
        print(f"{len(images):,} left out, {reason}: {first}")
    print(f"{arguments.out} holds {rows:,} rows")
    return 0


def proposal_for(arguments: argparse.Namespace, known: frozenset[str]) -> Any:
    """The photos to label, and the artifact of the model that answered."""
    from lenslet.dataset.walk import walk
    from lenslet.inference.artifact import sha256_of
    from lenslet.inference.classifier import Classifier
    from lenslet.labelling.annotations import read_list
    from lenslet.labelling.candidates import propose

    if not arguments.folder.is_dir():
        raise InputError(f"{arguments.folder} is not a folder")
    if arguments.labelled:
        files = [Path(row.image) for row in read_list(arguments.labelled)]
        known |= {sha256_of(file.read_bytes()) for file in files if file.is_file()}
    classifier = Classifier.load(arguments.model)
    paths = [arguments.folder / file for file in walk(arguments.folder).files]
    return propose(paths, classifier, arguments.count, arguments.cache, known=known), classifier.artifact
