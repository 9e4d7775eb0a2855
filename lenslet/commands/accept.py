"""Check a running endpoint with labelled photos: may it go into production?

    lenslet accept https://….amazonaws.com/staging

Sends the photos of --data as they are, and some of them again under nine kinds of corruption in five severities, one
photo a request; prints before how many. The model of --model classifies each of them here, too: an endpoint that
serves the same file must give the same answers. Prints accuracies, latencies, errors, and a verdict on each limit in
section `endpoint` of params.yaml. Exit code 0 if all are kept, 1 if one is not or another model is served, 2 if the
endpoint cannot be asked.
"""

import os
import sys

from lenslet.commands.options import KEY_HELP, KEY_VARIABLE, add_options, here_or_shipped
from lenslet.commands.output import json_output
from lenslet.commands.parser import CommandParser, params_of, parser_for
from lenslet.shipped import shipped


def main(argv: list[str] | None = None) -> int:
    arguments = make_parser().parse_args(argv)

    from lenslet.checks.acceptance import (
        AnotherModel,
        acceptance_json,
        acceptance_text,
        check_model,
        choose_photos,
        measure_endpoint,
    )
    from lenslet.checks.endpoint import open_endpoint
    from lenslet.checks.labelled_photos import prepare, send_requests
    from lenslet.evaluation.limits import are_all_kept
    from lenslet.inference.classifier import Classifier

    params = params_of(arguments).endpoint
    classifier = Classifier.load(arguments.model)
    artifact = classifier.artifact
    photos = choose_photos(arguments.data, artifact, params.photos)
    try:
        check_model(open_endpoint(arguments.url, arguments.key), artifact, arguments.key)
    except AnotherModel as error:
        print(f"lenslet accept: {error}", file=sys.stderr)
        return 1
    planned = prepare(photos, params.corruption_photos, classifier)
    with json_output(arguments.json) as print_json:
        print(
            f"{len(planned)} requests to {arguments.url}: {len(photos)} photos as they are, "
            f"{len(planned) - len(photos)} corrupted ones",
            flush=True,
        )
        allowed = params.max.errors * len(planned)
        outcomes = send_requests(
            arguments.url, arguments.key, planned, artifact.labels, params.clients, allowed
        )
        report = measure_endpoint(outcomes, len(planned), params, artifact.labels)
        print(acceptance_text(report))
        print_json({"endpoint": arguments.url, "model": artifact.version, **acceptance_json(report)})
    return 0 if are_all_kept(report["verdicts"]) else 1


def make_parser() -> CommandParser:
    parser = parser_for("accept", __doc__, sections=["endpoint"])
    parser.add_argument("url", help="the endpoint, as lenslet test takes it")
    parser.add_argument("--key", default=os.environ.get(KEY_VARIABLE), help=KEY_HELP)
    photos, model = shipped("sample") / "test", here_or_shipped("model")
    add_options(parser, "--data", required=False, default=photos, help="labelled photos (%(default)s)")
    add_options(parser, "--model", default=model, help="folder that is served (%(default)s)")
    add_options(parser, "--json")
    return parser
