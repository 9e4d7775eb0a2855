"""Show what a decision about one photo rests on.

    lenslet explain photo.jpg --model out/mine

Writes a picture with three views beside each other: the photo as the model sees it, where the served model finds
evidence for its answer (class activation map), and which pixels the answer rests on (integrated gradients of the
Keras network). Prints the answer and how exactly the gradients add up.
"""

import argparse
import sys
from pathlib import Path

from matplotlib.figure import Figure

from lenslet.inference.atomic import replacing
from lenslet.inference.classifier import Classifier
from lenslet.inference.decode import decode
from lenslet.inference.errors import ArtifactError, LensletError
from lenslet.reporting.plots import explanation_figure
from lenslet.training.record import KERAS_NAME, RecordError, load_network


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    try:
        classifier = Classifier.load(arguments.model)
        # Now: if it cannot be, the work would be in vain.
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        pixels = decode(arguments.photo.read_bytes(), classifier.artifact.image_size)
        prediction = classifier.classify(pixels)
        if not (arguments.model / KERAS_NAME).exists():
            raise ArtifactError(
                f"{arguments.model / KERAS_NAME} does not exist: gradients need the Keras network"
            )
    except (ArtifactError, LensletError) as error:
        print(f"lenslet explain: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"lenslet explain: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    for label, probability in prediction.ranked()[:3]:
        print(f"{label:<16}{probability:>7.1%}")

    # Only now, when the served model has answered: with TensorFlow loaded, its kernels would answer instead.
    from lenslet.evaluation.attribution import integrated_gradients

    try:
        network = load_network(arguments.model)
    except RecordError as error:
        print(f"lenslet explain: {error}", file=sys.stderr)
        return 2
    attribution = integrated_gradients(
        network, pixels, int(prediction.probabilities.argmax()), arguments.steps
    )
    print(
        f"integrated gradients add up to the change of the logit within {attribution.completeness_error:.2%}"
    )
    figure = explanation_figure(pixels, prediction, attribution.pixels)
    with replacing(arguments.out) as temporary:
        figure.savefig(temporary, dpi=150)
    print(f"written: {arguments.out}")
    return 0


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photo", type=Path, help="the photo to explain")
    parser.add_argument("--model", type=Path, default=Path("model"), help="model folder (%(default)s)")
    parser.add_argument(
        "--out", type=picture, default=Path("report/explanation.png"), help="default: %(default)s"
    )
    parser.add_argument(
        "--steps", type=at_least_one, default=256, help="more are slower and add up better (%(default)s)"
    )
    return parser.parse_args(argv)


def picture(text: str) -> Path:
    endings = Figure().canvas.get_supported_filetypes()
    if Path(text).suffix.lower().removeprefix(".") not in endings:
        raise argparse.ArgumentTypeError(f"{text!r} must end in one of: .{', .'.join(sorted(endings))}")
    return Path(text)


def at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
