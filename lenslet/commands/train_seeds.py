"""Several trainings of one `lenslet train --seeds`, which differ in their seed, and the average of their weights."""

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING

from lenslet.commands.parser import overrides_of

if TYPE_CHECKING:
    from lenslet.registry.tracking import Tracker
    from lenslet.training.record import TrainingRecord
    from lenslet.training.small_folders import Chosen

    # Settings and photos, options, run of MLflow, and the cross-validated figures if they are known.
    TrainOne = Callable[[Chosen, argparse.Namespace, Tracker, "Mapping[str, float] | None"], "TrainingRecord"]


def wanted_seeds(chosen: "Chosen", count: int) -> list[int]:
    """`train.seed` and those that follow it; the first alone, with a sentence, where all give the same network."""
    from lenslet.training.seeds import seeds_from
    from lenslet.training.small_folders import is_logistic

    params, photos = chosen.params, len(chosen.dataset.members("train"))
    is_same = not params.fine_tune.epochs and is_logistic(params.head, photos, len(chosen.dataset.labels))
    if is_same and count > 1:
        print(
            "--seeds has no effect: the head alone is trained, a logistic regression that is the same for each"
        )
    return seeds_from(params.seed, 1 if is_same else count)


def train_seeds(
    chosen: "Chosen",
    seeds: list[int],
    arguments: argparse.Namespace,
    tracker: "Tracker",
    train_one: "TrainOne",
) -> "TrainingRecord":
    """Train a network with each of the `seeds`, average their weights, and write the average into --out.

    Each training is a run of its own, which --resume continues or, if it has finished, leaves as it is.
    Raises: RunFinished if the average is there already.
    """
    from lenslet.registry.tracking import Tracker
    from lenslet.training.record import read_record
    from lenslet.training.run import RunFinished
    from lenslet.training.seeds import deadline_of, finished_average, seed_folder

    params, out = chosen.params, arguments.out
    place = finished_average(out, arguments.runs, params, chosen.dataset.fingerprint, seeds)
    if place and arguments.resume:
        raise RunFinished(
            f"{place} was trained with these photos, settings and seeds: nothing is left to resume"
        )
    records: list[TrainingRecord] = []
    for number, seed in enumerate(seeds):
        print(f"seed {seed} ({number + 1} of {len(seeds)})")
        mine, folder = argparse.Namespace(**vars(arguments)), seed_folder(out, seed)
        mine.out, mine.name = folder, f"{arguments.name}-{seed}"
        mine.began = time.monotonic() if number else arguments.began
        mine.deadline = deadline_of(number, len(seeds), arguments.began, arguments.deadline)
        settings, checked = replace(params, seed=seed), records[0].cross_validation if records else None
        try:
            with Tracker() as own:
                record = train_one(replace(chosen, params=settings), mine, own, checked)
        except RunFinished as reason:
            print(reason)
            record = read_record(folder)
        records.append(record)
    return _write_average(chosen, seeds, records, arguments, tracker)


def _write_average(
    chosen: "Chosen",
    seeds: list[int],
    records: "list[TrainingRecord]",
    arguments: argparse.Namespace,
    tracker: "Tracker",
) -> "TrainingRecord":
    """Average the trained networks into --out, as an MLflow run of its own."""
    from lenslet.inference.atomic import write_or_keep
    from lenslet.training.averaging import average_of
    from lenslet.training.record import place_of_training, save_network
    from lenslet.training.seeds import remove_seed_folders, seed_folder
    from lenslet.training.validation import in_words

    began, out, dataset = time.monotonic(), arguments.out, chosen.dataset
    sections = {"average": {"seeds": seeds}, "train": asdict(chosen.params), **overrides_of(arguments)}
    photos = arguments.data.resolve().name
    tracker.begin(arguments.name, sections, dataset.fingerprint, photos=photos)
    averaged = average_of([seed_folder(out, seed) for seed in seeds], dataset)
    count = len(dataset.members("validation"))
    for seed, figures in zip(seeds, averaged.alone, strict=True):
        print(f"seed {seed}, calibrated: {in_words(figures, count)}")
    shares = {str(seed): share for seed, share in zip(seeds, averaged.shares, strict=True)}
    parts = " + ".join(f"{share:.0%} of seed {seed}" for seed, share in shares.items())
    print(f"average ({parts}), calibrated: {in_words(averaged.figures, count)}")
    minutes = sum(record.minutes for record in records) + (time.monotonic() - began) / 60
    record = replace(
        records[0],
        name=arguments.name,
        validation=averaged.figures,
        history={**records[0].history, "average": averaged.history(seeds)},
        minutes=round(minutes, 1),
        seeds=shares,
    )
    place = place_of_training(out)
    write_or_keep(partial(save_network, averaged.network, record), place)
    remove_seed_folders(out, seeds)
    tracker.log_training(record, place)
    return record
