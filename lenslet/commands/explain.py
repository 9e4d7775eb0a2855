"""Show which parts of one photo its prediction rests on.

    lenslet explain photo.jpg --model out/mine

Writes a picture with three views beside each other: the photo as the model sees it, the explanation that the model
serves (the kind that `lenslet convert` found best), and which pixels the answer rests on (integrated gradients of the
Keras network). Prints the answer and the completeness error of the gradients.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lenslet.commands.options import add_options
from lenslet.commands.output import json_output
from lenslet.commands.parser import CommandParser, parser_for, whole_number
from lenslet.commands.report_places import report_file
from lenslet.inference.errors import ArtifactError, InputError
from lenslet.inference.printable import printable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lenslet.inference.classifier import Prediction
    from lenslet.inference.explanation import Explanation


# Completeness error of gradients, above which the picture shows the steps more than the network.
MOST_ERROR = 0.2


def main(argv: list[str] | None = None) -> int:
    arguments = make_parser().parse_args(argv)

    from lenslet.inference.atomic import probe_file
    from lenslet.inference.classifier import Classifier
    from lenslet.inference.decode import decode
    from lenslet.inference.explanation import explain
    from lenslet.serving.batch_rows import object_of, row_of
    from lenslet.training.record import KERAS_NAME

    about = (str(arguments.photo), arguments.model.resolve())
    arguments.out = arguments.out or report_file("explanation", ".png", *about)
    check_ending(arguments.out)
    classifier = Classifier.load(arguments.model)
    probe_file(arguments.out, "--out")
    pixels = decode(arguments.photo.read_bytes(), classifier.artifact.image_size)
    prediction = classifier.classify(pixels)
    explanation = explain(classifier, pixels, prediction)
    network_file = arguments.model / KERAS_NAME
    if not network_file.exists():
        raise ArtifactError(f"{network_file} does not exist: gradients need the Keras network")
    with json_output(arguments.json) as print_json:
        for label, probability in prediction.ranked()[:3]:
            print(f"{printable(label):<16}{probability:>7.1%}")
        error = draw(arguments, pixels, prediction, explanation)
        print(f"integrated gradients add up to the change of the logit within {error:.2%}{doubt(error)}")
        print(f"written: {arguments.out}")
        answer = object_of(row_of(str(arguments.photo), prediction), prediction.labels)
        found = {"explanation": explanation and explanation.kind, "completeness_error": error}
        print_json({**answer, **found, "picture": arguments.out})
    return 0


def draw(
    arguments: argparse.Namespace,
    pixels: "NDArray[np.uint8]",
    prediction: "Prediction",
    explanation: "Explanation | None",
) -> float:
    """Write the picture. Returns: the completeness error of the gradients, as a share of the change of the logit."""
    # Only now, when the served model has answered: with TensorFlow loaded, its kernels would answer instead.
    from lenslet.evaluation.attribution import integrated_gradients
    from lenslet.inference.atomic import replacing
    from lenslet.reporting.plots import explanation_figure
    from lenslet.training.record import load_network

    network = load_network(arguments.model)
    top = int(prediction.probabilities.argmax())
    attribution = integrated_gradients(network, pixels, top, arguments.steps)
    figure = explanation_figure(pixels, prediction, explanation, attribution.pixels)
    with replacing(arguments.out) as temporary:
        figure.savefig(temporary, dpi=150)
    return float(attribution.completeness_error)


def doubt(error: float) -> str:
    """What to do about gradients that do not add up, as the end of a sentence."""
    return ": too far off to rely on, give more --steps" if error > MOST_ERROR else ""


def make_parser() -> CommandParser:
    parser = parser_for("explain", __doc__)
    add = parser.add_argument
    add("photo", type=Path, help="the photo to explain")
    add_options(parser, "--model")
    named = "picture to write (report/explanation-PHOTO-….png, another for each photo and model)"
    add("--out", type=Path, metavar="FILE", help=named)
    help_steps = "of the integral; more are slower and more exact (%(default)s)"
    add("--steps", type=whole_number(1), default=256, metavar="N", help=help_steps)
    add_options(parser, "--json")
    return parser


def check_ending(path: Path) -> None:
    """Raises: InputError unless matplotlib can write such a file."""
    from matplotlib.figure import Figure

    endings = Figure().canvas.get_supported_filetypes()
    if path.suffix.lower().removeprefix(".") not in endings:
        raise InputError(f"--out {path} must end in one of: .{', .'.join(sorted(endings))}")
