"""Search for settings: a learning rate, or the backbone and the settings of its head.

    lenslet tune --data my_photos --lr-finder              a learning rate: seconds; with --fine-tune minutes
    lenslet tune --data my_photos                          a search: minutes, once the features are cached
    lenslet tune --data my_photos --fine-tune-top 3 --write

The finder prints where the loss falls fastest. The search tries backbones, optimizers and numbers (section `tune` of
params.yaml) on cached features and the validation photos; the same command continues it, in several processes too.
--fine-tune-top writes networks into --runs, which lenslet convert makes servable. Plots go into report/tune-my_photos/.
"""

import argparse
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lenslet.commands.options import DATA_OPTIONS, add_options
from lenslet.commands.output import json_output
from lenslet.commands.parser import CommandParser, overrides_of, params_of, parser_for, whole_number
from lenslet.commands.train_params import starting_from
from lenslet.commands.tune_steps import datasets_of_sizes, find_learning_rate, note_of_few_photos, with_places
from lenslet.config import Params, write_params

if TYPE_CHECKING:
    from lenslet.dataset.dataset import Dataset
    from lenslet.registry.tracking import Tracker

SHOWN = 10  # trials in the table


def main(argv: list[str] | None = None) -> int:
    arguments = read_arguments(argv)
    params = params_of(arguments)  # before the imports, which take seconds: a wrong file is said at once

    from lenslet.dataset.description import describe
    from lenslet.dataset.image_size import sized
    from lenslet.dataset.reading import read_dataset
    from lenslet.inference.atomic import probe_file, probe_folder
    from lenslet.registry.tracking import Tracker
    from lenslet.registry.versions import pinned, weights_at_hand
    from lenslet.training.photo_lint import check_photos

    probe_folder(arguments.report, "--report")
    probe_folder(arguments.runs, "--runs")
    probe_file(arguments.lint_csv, "--lint-csv")
    with json_output(arguments.json) as print_json, Tracker() as tracker:
        weights = pinned(arguments.weights or params.train.backbone.weights)
        train = starting_from(weights, params.train, arguments)
        dataset = read_dataset(arguments.data, train, arguments.cache)
        print(describe(dataset))
        sizes = params.tune.image_sizes if train.image_size == "auto" else ()
        train = sized(train, dataset)
        params = replace(params, train=train)
        check_photos(dataset, train, None, arguments.cache, arguments.lint_csv)
        with weights_at_hand(train.backbone.weights) as weights:
            if arguments.lr_finder:
                print_json(find_learning_rate(dataset, params, weights, arguments))
            else:
                datasets = datasets_of_sizes(dataset, train, sizes, arguments)
                print_json(search(datasets, params, weights, arguments, tracker))
    return 0


def unfinished_search(words: list[str]) -> str:
    """How to continue a stopped search, as the end of a sentence."""
    study = with_places(make_parser().parse_known_args(words)[0]).study
    return "; the same command continues the study" if "://" in study or Path(study).exists() else ""


AFTER_CTRL_C = unfinished_search


def make_parser() -> CommandParser:
    parser = parser_for("tune", __doc__, sections=["tune", "train"])
    add = parser.add_argument
    add_options(parser, "--data", "--weights")
    add("--lr-finder", action="store_true", help="only find a learning rate, for the head")
    add("--fine-tune", action="store_true", help="with --lr-finder: for fine-tuning instead")
    add("--study", help="SQLite file, .journal file or database URL (runs/tune-NAME.db)")
    add("--fine-tune-top", type=whole_number(0), default=0, metavar="N", help="fine-tune the best N trials")
    add("--write", action="store_true", help="write the best settings into the params file; comments stay")
    add_options(parser, "--report", default=None, help="where to write plots (report/tune-NAME)")
    add_options(parser, "--cache", "--runs", "--no-acceleration", *DATA_OPTIONS, "--lint-csv", "--json")
    return parser


def read_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = make_parser()
    arguments = parser.parse_args(argv)
    if arguments.fine_tune and not arguments.lr_finder:
        parser.error("--fine-tune goes with --lr-finder; a search is followed by --fine-tune-top N")
    if arguments.lr_finder and (arguments.fine_tune_top or arguments.write):
        parser.error("--fine-tune-top and --write go with a search, not with --lr-finder")
    return with_places(arguments)


def search(
    datasets: "Mapping[int, Dataset]",
    params: Params,
    weights: str,
    arguments: argparse.Namespace,
    tracker: "Tracker",
) -> list[dict[str, Any]]:
    """Run the trials that the study lacks, then show, fine-tune, write. `datasets`: by size of the pictures."""
    from lenslet.reporting.plots import save_figure
    from lenslet.tuning.backbones import available_backbones
    from lenslet.tuning.fine_tuned_trials import best_fine_tuned, fine_tune_best
    from lenslet.tuning.learning_rates import features_by_backbone, suggested_rates
    from lenslet.tuning.space import found_values, search_space, searched_name, with_weights
    from lenslet.tuning.study import best_trials, open_study, silence_optuna, without_password
    from lenslet.tuning.summary import save_study_figures, trial_table, trials_json
    from lenslet.tuning.trials import run_trials

    silence_optuna()
    train, objective, photos = params.train, params.tune.objective, arguments.data.resolve().name
    backbones = available_backbones(train.backbone, params.tune.backbones)
    print(f"backbones with weights at hand: {', '.join(backbones)}")
    names = [searched_name(each, size, datasets) for size in datasets for each in backbones]
    dataset = next(iter(datasets.values()))
    study = open_study(arguments.study, search_space(dataset, params, names))
    sections = {"tune": asdict(params.tune), "train": asdict(train), **overrides_of(arguments)}
    tracker.begin(f"search {photos}", sections, dataset.fingerprint, photos=photos)
    features = features_by_backbone(datasets, with_weights(train, weights), backbones, arguments.cache)
    searched = (study, features, len(dataset.labels), params)
    run_trials(*searched, suggested_rates(*searched))
    trials = best_trials(study, max(SHOWN, arguments.fine_tune_top))
    print(f"{len(study.trials)} trials in {without_password(arguments.study)}; the best by {objective}:")
    print(trial_table(trials[:SHOWN]))
    if note := note_of_few_photos(dataset):
        print(note)
    drawn = save_study_figures(study, arguments.report, save_figure)
    print(*(f"written: {path}" for path in drawn), sep="\n")
    tracker.add("best", trials[0].user_attrs["figures"] if trials else {}, {"report": drawn})
    for trial in trials[:SHOWN]:
        tracker.add_trial(f"trial {trial.number}", found_values(trial), trial.user_attrs["figures"])
    tuned, top = {}, trials[: arguments.fine_tune_top]
    how = (train, weights, arguments.runs, arguments.no_acceleration)
    for trial, kept in fine_tune_best(study, top, features, datasets, *how):
        said = ", ".join(f"{name} {value:.4f}" for name, value in kept.figures.items())
        print(f"trial {trial.number} fine-tuned, in {kept.run}: {said}")
        tracker.add_trial(f"trial {trial.number} fine-tuned", found_values(trial), kept.figures)
        tuned[trial.number] = kept
    if arguments.write:
        best = best_fine_tuned(trials, [kept.figures[objective] for kept in tuned.values()], objective)
        path = write_params(arguments.params, found_values(best))
        print(f"{path} holds the settings of trial {best.number}")
    return trials_json(trials, tuned)
