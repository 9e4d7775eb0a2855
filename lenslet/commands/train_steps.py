"""Steps of `lenslet train` that MLflow follows: begin or resume the run, and fine-tune in its folder."""

import argparse
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lenslet.commands.parser import overrides_of
from lenslet.config import TrainParams

if TYPE_CHECKING:
    from lenslet.dataset.dataset import Dataset
    from lenslet.network.devices import Acceleration
    from lenslet.registry.tracking import Tracker
    from lenslet.training.record import History
    from lenslet.training.run import Run


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


def fine_tune_run(
    network: Any,
    dataset: "Dataset",
    params: TrainParams,
    begun: "tuple[Path, Run]",
    arguments: argparse.Namespace,
    tracker: "Tracker",
) -> "History":
    """Fine-tune in the folder of the run, which is made if the run is new; each epoch is tracked as it ends."""
    from lenslet.training.distillation import distillation_targets
    from lenslet.training.fine_tuning import fine_tune
    from lenslet.training.run import start_run

    folder, run = begun
    if not folder.exists():
        start_run(folder, run)
    tracker.note(folder)
    targets = distillation_targets(dataset, params, arguments.data, arguments.cache)
    on_epoch = partial(tracker.add_epoch, "fine_tune")
    return fine_tune(network, dataset, params, folder, run.precision, on_epoch, targets)
