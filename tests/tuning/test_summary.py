"""Figures of a study that was made by hand: nothing is trained."""

import optuna
import pytest

from lenslet.tuning.summary import IMPORTANCE_TRIALS, study_figures

pytestmark = pytest.mark.slow


def study_of(complete: int, pruned: int) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="minimize")
    study.set_user_attr("space", {"objective": "log_loss"})
    distributions = {"dropout": optuna.distributions.FloatDistribution(0, 1)}
    for number in range(complete + pruned):
        is_pruned = number >= complete
        trial = optuna.trial.create_trial(
            params={"dropout": number / 100},
            distributions=distributions,
            value=None if is_pruned else 1 / (1 + number),
            intermediate_values={0: 2.0, 3: 1.5} if is_pruned else {},
            state=optuna.trial.TrialState.PRUNED if is_pruned else optuna.trial.TrialState.COMPLETE,
        )
        study.add_trial(trial)
    return study


def test_history_names_its_axis_and_marks_the_pruned_trials() -> None:
    figures = study_figures(study_of(complete=4, pruned=3))
    assert set(figures) == {"history"}  # four trials say nothing about importance
    [axes] = figures["history"].axes
    assert axes.get_ylabel() == "log loss"
    marks = [each for each in axes.collections if str(each.get_label()).startswith("pruned")]
    assert [(each.get_label(), each.get_offsets().tolist()) for each in marks] == [
        ("pruned (3)", [[4, 1.5], [5, 1.5], [6, 1.5]])
    ]


def test_importance_of_enough_trials() -> None:
    assert set(study_figures(study_of(complete=IMPORTANCE_TRIALS, pruned=0))) == {"history", "importance"}
