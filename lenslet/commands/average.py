"""Mix the weights of two trainings that began with the same weights: often better than either, at no cost in serving.

    lenslet average --data my_photos --first out/one --second out/two --out out/mixed

Tries mixes from all of the first to all of the second, calibrates each, and keeps the one with the lowest log loss
on the validation photos (Wortsman et al. 2022, "Model soups"). Prints a table; writes model.keras and training.json
into --out, and a run into MLflow as train.py does; convert.py makes them servable. Train the two with another `seed`
or augmentation, and the same `split_seed`: a photo that one has learned from cannot judge the other.
"""

import argparse
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.metrics import log_loss

from lenslet.dataset.photos import DatasetError
from lenslet.dataset.reading import read_dataset
from lenslet.evaluation.calibration import fit_temperature
from lenslet.evaluation.metrics import accuracy
from lenslet.network.weight_averaging import AveragingRefused, Mix, mix_into, mixes
from lenslet.registry.tracking import Tracker
from lenslet.training.record import (
    KERAS_NAME,
    RecordError,
    check_fingerprint,
    load_network,
    read_record,
    save,
)

SHARES = tuple(np.linspace(0, 1, 11).round(1).tolist())


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    try:
        with Tracker() as tracker:
            mix(arguments, tracker)
    except (DatasetError, RecordError, AveragingRefused) as error:
        print(f"lenslet average: {error}", file=sys.stderr)
        return 2
    return 0


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the folder that train.py was given")
    parser.add_argument("--first", type=Path, required=True, help="folder of a trained model")
    parser.add_argument("--second", type=Path, required=True, help="folder of another one, trained on --data")
    parser.add_argument("--out", type=Path, required=True, help="model folder to write")
    parser.add_argument("--cache", type=Path, default=Path(".cache"), help="decoded photos (%(default)s)")
    return parser.parse_args(argv)


def mix(arguments: argparse.Namespace, tracker: Tracker) -> None:
    record = read_record(arguments.second)
    if read_record(arguments.first).data_fingerprint != record.data_fingerprint:
        raise AveragingRefused(
            f"{arguments.first} and {arguments.second} were trained on other photos or other splits of them, so that "
            "none could judge both: train both with the same --data, train.split_seed and fractions"
        )
    dataset = read_dataset(arguments.data, record.params, arguments.cache)
    check_fingerprint(record, dataset.fingerprint, arguments.data)
    members = dataset.members("validation")
    pixels, targets = dataset.pixels[dataset.rows[members]], dataset.targets[members]
    first, second = (load_network(folder) for folder in (arguments.first, arguments.second))
    tried = [judged(each, targets) for each in mixes(first, second, SHARES, pixels)]
    parents = {"first": arguments.first, "second": arguments.second}
    tracker.begin(record.name, {"average": parents, "train": asdict(record.params)}, dataset.fingerprint)
    print("of the second   accuracy   log loss   on the validation photos, calibrated")
    for share, figures in zip(SHARES, tried, strict=True):
        print(f"{share:>13.0%}{figures['accuracy']:>11.4f}{figures['log_loss']:>11.4f}")
    best = min(range(len(SHARES)), key=lambda number: tried[number]["log_loss"])
    mix_into(second, first, second, SHARES[best])
    history = {name: [figures[name] for figures in tried] for name in ("accuracy", "log_loss")}
    steps = {**record.history, "average": {"share": list(SHARES), **history}}
    mixed = replace(record, validation=tried[best], history=steps)
    save(second, mixed, arguments.out)
    print(f"{arguments.out / KERAS_NAME} holds {SHARES[best]:.0%} of the second; make it servable with")
    print(f"  python convert.py --data {arguments.data} --model {arguments.out}")
    tracker.log_training(mixed, arguments.out)


def judged(mix: Mix, targets: NDArray[np.int64]) -> dict[str, float]:
    """Accuracy and calibrated log loss on the validation photos."""
    probabilities = softmax(mix.logits / fit_temperature(mix.logits, targets), axis=1)
    return {
        "accuracy": accuracy(targets, probabilities),
        "log_loss": float(log_loss(targets, probabilities, labels=range(probabilities.shape[1]))),
    }


if __name__ == "__main__":
    sys.exit(main())
