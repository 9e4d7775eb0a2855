"""A study for people: the table of trials and the figures."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import matplotlib
import optuna
import optuna.visualization.matplotlib as optuna_plots
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from optuna.trial import FrozenTrial, TrialState

from lenslet.config import HeadParams
from lenslet.tuning.fine_tuned_trials import FineTuning
from lenslet.tuning.space import found_values

IMPORTANCE_TRIALS = 20  # fewer say nothing of the settings


def trial_table(trials: list[FrozenTrial]) -> str:
    """One line per trial: its validation figures and its settings."""
    names = ("log_loss", "auc", "accuracy")
    lines = [
        f"{'trial':>5}" + "".join(f"{name:>10}" for name in names) + f"  {'backbone':<24}{'optimizer':<10}"
        f"{'rate':>9}{'decay':>9}{'dropout':>9}{'smoothing':>11}{'hidden':>8}"
    ]
    for trial in trials:
        head = HeadParams(**trial.user_attrs["head"])
        figures = "".join(f"{trial.user_attrs['figures'][name]:>10.4f}" for name in names)
        lines.append(
            f"{trial.number:>5}{figures}  {trial.params['backbone']:<24}{head.optimizer:<10}"
            f"{head.learning_rate:>9.2g}{head.weight_decay:>9.2g}{head.dropout:>9.2g}"
            f"{head.label_smoothing:>11.2g}{head.hidden_units:>8}"
        )
    return "\n".join(lines)


def study_figures(study: optuna.Study) -> dict[str, Figure | SubFigure]:
    """Optuna's figures: `history`, the best value so far, with the pruned trials; `importance`, each setting's share.

    The second, of the variance (fANOVA: Hutter et al. 2014), is absent where fewer than IMPORTANCE_TRIALS ended, of
    which it would be noise, or all with the same value.
    """
    matplotlib.use("Agg")  # Optuna draws through pyplot, which would look for a screen
    with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
        objective = str(study.user_attrs.get("space", {}).get("objective", "objective"))
        axes = optuna_plots.plot_optimization_history(study, target_name=objective.replace("_", " "))
        draw_pruned(axes, study)
        figures = {"history": axes.figure}
        if len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))) >= IMPORTANCE_TRIALS:
            with suppress(RuntimeError, ValueError):
                figures["importance"] = optuna_plots.plot_param_importances(study).figure
    return figures


def draw_pruned(axes: Axes, study: optuna.Study) -> None:
    """Mark the trials that were stopped early, at the last value that they reached."""
    pruned = study.get_trials(deepcopy=False, states=(TrialState.PRUNED,))
    last = [
        (each.number, each.intermediate_values[max(each.intermediate_values)])
        for each in pruned
        if each.intermediate_values
    ]
    if last:
        numbers, values = zip(*last, strict=True)
        axes.scatter(numbers, values, marker="x", color="grey", label=f"pruned ({len(last)})")
        axes.legend()


def save_study_figures(
    study: optuna.Study, folder: Path, save: Callable[[Figure | SubFigure, Path], Path]
) -> list[Path]:
    """Write each of `study_figures` as a PNG by `save`; returns their paths."""
    return [save(figure, folder / f"tune_{name}.png") for name, figure in study_figures(study).items()]


def trials_json(trials: Sequence[FrozenTrial], fine_tuned: Mapping[int, FineTuning]) -> list[dict[str, Any]]:
    """One object a trial: its validation figures and settings, and what fine-tuning made of it, if it was."""
    rows = []
    for trial in trials:
        row = {"trial": trial.number, **trial.user_attrs["figures"], "settings": found_values(trial)}
        if kept := fine_tuned.get(trial.number):
            row |= {"fine_tuned": kept.figures, "run": kept.run}
        rows.append(row)
    return rows
