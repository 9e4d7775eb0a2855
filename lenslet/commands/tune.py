"""Find settings by trying: a learning rate, then the head's other numbers.

    lenslet tune --data my_photos --lr-finder              a rate for the head: seconds
    lenslet tune --data my_photos --lr-finder --fine-tune  a rate for fine-tuning, its peak: minutes
    lenslet tune --data my_photos                          a search: minutes, once the features are cached
    lenslet tune --data my_photos --fine-tune-top 3 --write

The finder raises the rate from batch to batch, prints where the loss falls fastest and draws report/lr_finder.png.
The search tries backbones, optimizers and numbers (section `tune` of params.yaml) on cached features and judges
them on the validation photos; the test photos are looked at for copies of others, and for nothing else. Every trial
is kept in the study, a file: after Ctrl-C the same command goes on, and several processes may work at once. It ends
with a table of the best trials, report/tune_history.png, report/tune_importance.png and a run of MLflow (see
`train.py --help`). --fine-tune-top keeps its networks in folders of --runs, which convert.py makes servable.
"""

import argparse
import logging
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import optuna

from lenslet.commands.options import DATA_OPTIONS, add_options
from lenslet.config import Params, ParamsError, read_params, write_params
from lenslet.dataset.array_file import CacheFull
from lenslet.dataset.dataset import Dataset, photos_per_split
from lenslet.dataset.lint import lint, report_findings
from lenslet.dataset.photos import DatasetError
from lenslet.dataset.reading import read_dataset
from lenslet.inference.atomic import replacing
from lenslet.network.backbones import WeightsUnavailable
from lenslet.network.devices import Acceleration, acceleration_here
from lenslet.registry.mlflow_registry import RegistryError
from lenslet.registry.tracking import Tracker
from lenslet.registry.versions import pinned, weights_at_hand
from lenslet.reporting.plots import lr_finder_figure
from lenslet.training.lr_finder import LearningRateNotFound
from lenslet.training.run import CheckpointError
from lenslet.tuning.backbones import available_backbones
from lenslet.tuning.fine_tuned_trials import (
    best_fine_tuned,
    fine_tune_trial,
    fine_tuning_of,
    keep_fine_tuning,
)
from lenslet.tuning.learning_rates import features_by_backbone, learning_rate_sweep, suggested_rates
from lenslet.tuning.space import found_values, search_space, with_weights
from lenslet.tuning.study import StudyRefused, best_trials, open_study, without_password
from lenslet.tuning.summary import study_figures, trial_table
from lenslet.tuning.trials import run_trials

SHOWN = 10  # trials in the table
REFUSALS = (
    CacheFull,
    CheckpointError,
    DatasetError,
    LearningRateNotFound,
    ParamsError,
    RegistryError,
    StudyRefused,
    WeightsUnavailable,
)


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    try:
        with Tracker() as tracker:
            params = chosen_params(arguments)
            dataset = read_dataset(arguments.data, params.train, arguments.cache)
            findings = lint(dataset, arguments.cache)
            print("labels are not judged: a training that starts from weights does that")
            report_findings(findings, arguments.lint_csv, params.train.leaks)
            with weights_at_hand(params.train.backbone.weights) as weights:
                if arguments.lr_finder:
                    find_learning_rate(dataset, params, weights, arguments)
                else:
                    search(dataset, params, weights, arguments, tracker)
    except REFUSALS as error:
        print(f"lenslet tune: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        kept = "" if arguments.lr_finder else "; the study keeps what was tried, the same command goes on"
        print(f"\nlenslet tune: stopped{kept}", file=sys.stderr)
        return 130
    return 0


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder of labelled photos")
    add("--params", type=Path, default=Path("params.yaml"), help="default: %(default)s")
    add("--weights", help="instead of train.backbone.weights: imagenet, a .keras file, registry:production")
    add("--lr-finder", action="store_true", help="only find a learning rate, for the head")
    add("--fine-tune", action="store_true", help="with --lr-finder: for fine-tuning instead")
    add("--study", default="runs/tune.db", help="SQLite file, .journal file or database URL (%(default)s)")
    add("--fine-tune-top", type=int, default=0, metavar="N", help="train all of the network with the best N")
    add("--write", action="store_true", help="put the best settings into the params file, comments kept")
    add("--report", type=Path, default=Path("report"), help="where pictures go (%(default)s)")
    add("--cache", type=Path, default=Path(".cache"), help="decoded photos, features (%(default)s)")
    add("--runs", type=Path, default=Path("runs"), help="where fine-tuned networks go (%(default)s)")
    add("--no-acceleration", action="store_true", help="float32 on one device, as without GPUs")
    add_options(parser, *DATA_OPTIONS, "--lint-csv")
    arguments = parser.parse_args(argv)
    if arguments.fine_tune and not arguments.lr_finder:
        parser.error("--fine-tune goes with --lr-finder; a search is followed by --fine-tune-top N")
    if arguments.fine_tune_top < 0:
        parser.error("--fine-tune-top takes a number from 0 on")
    if arguments.lr_finder and (arguments.fine_tune_top or arguments.write):
        parser.error("--fine-tune-top and --write go with a search, not with --lr-finder")
    return arguments


def chosen_params(arguments: argparse.Namespace) -> Params:
    """`params.yaml`, with what the command line says instead."""
    params = read_params(arguments.params, arguments.overrides)
    train = params.train
    weights = pinned(arguments.weights or train.backbone.weights)
    return replace(params, train=with_weights(train, weights))


def find_learning_rate(dataset: Dataset, params: Params, weights: str, arguments: argparse.Namespace) -> None:
    seen = learning_rate_sweep(
        dataset, with_weights(params.train, weights), arguments.fine_tune, arguments.cache
    )
    save(lr_finder_figure(seen.rates, seen.losses, seen.suggestion), arguments.report / "lr_finder.png")
    step = "fine_tune" if arguments.fine_tune else "head"
    print(f"suggested train.{step}.learning_rate: {seen.suggestion:.2g}")


def search(
    dataset: Dataset, params: Params, weights: str, arguments: argparse.Namespace, tracker: Tracker
) -> None:
    """Run what the study still lacks, then show, fine-tune and write as the arguments say.

    `weights`: where those of `params` are, if they are a registered model's.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # each network is traced anew, which it warns of
    backbones = available_backbones(params.train.backbone, params.tune.backbones)
    print(f"backbones with weights at hand: {', '.join(backbones)}")
    sections = {"tune": asdict(params.tune), "train": asdict(params.train)}
    study = open_study(arguments.study, search_space(dataset, params, backbones))
    tracker.begin(f"search {arguments.data.resolve().name}", sections, dataset.fingerprint)
    folds = features_by_backbone(dataset, with_weights(params.train, weights), backbones, arguments.cache)
    classes = len(dataset.labels)
    run_trials(study, folds, classes, params, suggested_rates(study, folds, classes, params))
    trials = best_trials(study, max(SHOWN, arguments.fine_tune_top))
    print(
        f"{len(study.trials)} trials in {without_password(arguments.study)}; the best by {params.tune.objective}:"
    )
    print(trial_table(trials[:SHOWN]))
    drawn = [save(each, arguments.report / f"tune_{name}.png") for name, each in study_figures(study).items()]
    tracker.add("best", trials[0].user_attrs["figures"] if trials else {}, {"report": drawn})
    for trial in trials[:SHOWN]:
        tracker.add_trial(f"trial {trial.number}", found_values(trial), trial.user_attrs["figures"])
    wanted = arguments.fine_tune_top and not arguments.no_acceleration
    photos = photos_per_split(dataset)
    first_batch = min(photos["train"], photos["validation"], params.train.fine_tune.batch_size)
    accelerated = acceleration_here(first_batch) if wanted else Acceleration()
    values = []
    for trial in trials[: arguments.fine_tune_top]:
        kept = fine_tuning_of(study, trial, params.train, arguments.runs)
        if not kept.figures:
            kept = replace(
                kept,
                figures=fine_tune_trial(trial, folds, dataset, params.train, weights, kept.run, accelerated),
            )
            keep_fine_tuning(study, trial, params.train, kept)
        said = ", ".join(f"{name} {value:.4f}" for name, value in kept.figures.items())
        print(f"trial {trial.number} fine-tuned, in {kept.run}: {said}")
        tracker.add_trial(f"trial {trial.number} fine-tuned", found_values(trial), kept.figures)
        values.append(kept.figures[params.tune.objective])
    if arguments.write:
        best = best_fine_tuned(trials, values, params.tune.objective)
        write_params(arguments.params, found_values(best))
        print(f"{arguments.params} holds the settings of trial {best.number}")


def save(figure: Any, path: Path) -> Path:
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, bbox_inches="tight")
    print(f"written: {path}")
    return path


if __name__ == "__main__":
    sys.exit(main())
