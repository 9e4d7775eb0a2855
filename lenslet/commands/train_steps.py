"""Steps of `lenslet train`: begin or resume the run, fit the head, and fine-tune in the folder of the run."""

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lenslet.commands.parser import overrides_of
from lenslet.config import TrainParams

if TYPE_CHECKING:
    from lenslet.dataset.dataset import Dataset
    from lenslet.dataset.out_of_fold import OutOfFold
    from lenslet.network.devices import Acceleration
    from lenslet.registry.tracking import Tracker
    from lenslet.training.record import History
    from lenslet.training.run import Run
    from lenslet.training.small_folders import Chosen


def read_photos(params: TrainParams, arguments: argparse.Namespace) -> "Chosen":
    """Read the photos, and choose what so many need; prints both. Weights and teachers are looked at before."""
    from lenslet.dataset.description import describe
    from lenslet.dataset.image_size import sized
    from lenslet.dataset.reading import read_dataset
    from lenslet.network.backbones import require_weights
    from lenslet.training.distillation import require_teachers
    from lenslet.training.small_folders import chosen_for

    require_weights(params.backbone)
    require_teachers(params.distill)
    dataset = read_dataset(arguments.data, params, arguments.cache)
    chosen = chosen_for(sized(params, dataset), dataset)
    print("\n".join((describe(chosen.dataset), *chosen.sentences)))
    return chosen


def begin_run(
    params: TrainParams, dataset: "Dataset", arguments: argparse.Namespace, tracker: "Tracker"
) -> "tuple[Path, Run, Acceleration]":
    """Folder and settings of the run, a resumed or a new one, and how it computes."""
    from lenslet.dataset.dataset import photos_per_split
    from lenslet.network.devices import Acceleration, acceleration_here
    from lenslet.training.run import Run, resume_or_begin

    batch_size, wanted = params.fine_tune.batch_size, not arguments.no_acceleration
    accelerated = acceleration_here(photos_per_split(dataset), batch_size) if wanted else Acceleration()
    run = Run(str(arguments.out.resolve()), asdict(params), dataset.fingerprint, accelerated.precision)
    folder, run = resume_or_begin(arguments.runs, run, arguments.out, arguments.resume)
    sections = {"train": asdict(params), **overrides_of(arguments)}
    photos = arguments.data.resolve().name
    tracker.begin(arguments.name, sections, dataset.fingerprint, unfinished=folder, photos=photos)
    return folder, run, accelerated


def network_with_head(
    chosen: "Chosen",
    run: "Run",
    accelerated: "Acceleration",
    arguments: argparse.Namespace,
    checked: "Mapping[str, float] | None" = None,
) -> "tuple[Any, dict[str, History], Mapping[str, float], OutOfFold | None]":
    """The Keras network with a head fitted to the backbone's features, unless the resumed `run` has fitted it.

    `checked`: what the check of the photos has found, if it was made before. Returns: the network, the history so far,
    the cross-validated figures of the photos, and the out-of-fold answers where no photos validate.
    """
    from lenslet.network.assembly import initial_network
    from lenslet.registry.versions import weights_at_hand
    from lenslet.training.features import head_features, labelled_features
    from lenslet.training.head_fit import train_head, train_head_on_all
    from lenslet.training.photo_lint import check_photos
    from lenslet.training.validation import in_words, validate

    params, dataset = chosen.params, chosen.dataset
    with weights_at_hand(params.backbone.weights) as weights:
        backbone, network = initial_network(params, len(dataset.labels), accelerated, weights)
    pretrained = backbone if params.backbone.weights != "none" else None
    if checked is None:
        checked = check_photos(dataset, params, pretrained, arguments.cache, arguments.lint_csv)
    history = dict(run.history)
    if chosen.folds is not None:
        [features] = labelled_features(backbone, dataset, params, ("train",), arguments.cache)
        history["head"], answers = train_head_on_all(network, features, chosen.folds, params)
        return network, history, {}, answers
    if pretrained and "head" not in history:
        pair = head_features(pretrained, dataset, params, arguments.cache)
        history["head"] = train_head(network, pair, params)
        if params.fine_tune.epochs:  # else its figures are those of the network
            photos = len(dataset.members("validation"))
            print(f"head: {in_words(validate(network, dataset, params), photos)}")
    return network, history, checked, None


def judged(
    network: Any, dataset: "Dataset", params: TrainParams, answers: "OutOfFold | None"
) -> tuple[dict[str, float], int]:
    """Accuracy and log loss on the validation photos, or out of fold with `answers`; and of how many photos."""
    from lenslet.training.validation import figures_of, validate

    if answers is None:
        return validate(network, dataset, params), len(dataset.members("validation"))
    members = dataset.members("train")
    figures = figures_of(answers.logits, dataset.targets[members])
    return {**figures, "folds": float(answers.count)}, len(members)


def checked_in_words(cross_validated: "Mapping[str, float]", photos: int) -> str:
    """What says more than a few validation `photos`: accuracy over all. Empty if they are enough, or it is unknown."""
    from lenslet.evaluation.few_photos import MIN_TEST_PHOTOS

    if photos >= MIN_TEST_PHOTOS or not cross_validated:
        return ""
    low, high = cross_validated["accuracy_low"], cross_validated["accuracy_high"]
    found = f"a linear model has an accuracy of {cross_validated['accuracy']:.2f} ({low:.2f} to {high:.2f})"
    return f"these are few: cross-validated over {cross_validated['photos']:,.0f} photos, {found}"


def fine_tune_run(
    network: Any,
    dataset: "Dataset",
    params: TrainParams,
    begun: "tuple[Path, Run]",
    arguments: argparse.Namespace,
    tracker: "Tracker",
) -> "tuple[History, Mapping[str, int]]":
    """Fine-tune in the folder of the run, which is made if the run is new; each epoch is tracked as it ends.

    Returns: the history, and how many photos of each label weighed less.
    """
    from lenslet.training.distillation import labels_of_teachers
    from lenslet.training.fine_tuning import fine_tune
    from lenslet.training.run import start_run

    folder, run = begun
    if not folder.exists():
        start_run(folder, run)
    tracker.note(folder)
    labels = labels_of_teachers(dataset, params, arguments.data, arguments.cache)
    on_epoch, deadline = partial(tracker.add_epoch, "fine_tune"), arguments.deadline
    history = fine_tune(network, dataset, params, folder, run.precision, on_epoch, labels, deadline)
    return history, labels.doubtful if labels else {}
