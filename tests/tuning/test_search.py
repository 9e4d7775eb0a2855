"""The search: what it samples, measures, stores, refuses and writes."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lenslet.cli import main
from lenslet.config import Params, ParamsError, Range, read_params, write_params
from lenslet.dataset import reading
from lenslet.dataset.dataset import Dataset
from tests.support.tiny import SPLITS, tiny_dataset

SHIPPED = Path("params.yaml")


@pytest.fixture(scope="module")
def params() -> Params:
    """Four trials of a few epochs."""
    read = read_params(SHIPPED)
    head = replace(read.train.head, batch_size=8, epochs=4)
    fine_tune = replace(read.train.fine_tune, epochs=1, batch_size=8, min_steps_per_epoch=1)
    backbone = replace(read.train.backbone, name="small_cnn", weights="imagenet")
    train = replace(read.train, image_size=16, backbone=backbone, head=head, fine_tune=fine_tune)
    return replace(read, train=train, tune=replace(read.tune, trials=4, backbones=("small_cnn",)))


def clouds(photos: int, seed: int):
    """Features of two overlapping classes."""
    from lenslet.training.features import LabelledFeatures

    targets = np.arange(photos) % 2
    noise = np.random.default_rng(seed).normal(size=(photos, 8))
    return LabelledFeatures((noise + targets[:, np.newaxis]).astype(np.float32), targets)


@pytest.fixture(scope="module")
def folds():
    return {"small_cnn": (clouds(64, seed=1), clouds(40, seed=2))}


RATES = {f"small_cnn {optimizer}": 0.01 for optimizer in ("adam", "adamw", "sgd", "rmsprop")}


def opened(place: Path | str, params: Params, dataset: Dataset | None = None):
    from lenslet.tuning.space import search_space
    from lenslet.tuning.study import open_study

    return open_study(str(place), search_space(dataset or tiny_dataset(), params, ["small_cnn"]))


# --- params.yaml


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "objective: log_loss",
            "objective: f1",
            r"tune\.objective must be log_loss \| auc \| accuracy, not 'f1'",
        ),
        (
            "optimizers: [adam,",
            "optimizers: [adamax,",
            r"tune\.optimizers must be adam \| adamw \| sgd \| rmsprop",
        ),
        (
            "dropout: {low: 0.0, high: 0.6}",
            "dropout: {low: 0.7, high: 0.6}",
            r"dropout\.low must not be above high",
        ),
        ("dropout: {low: 0.0, high: 0.6}", "dropout: {low: 0.0, high: 1}", r"dropout\.high must be below 1"),
        (
            "weight_decay: {low: 1.0e-4",
            "weight_decay: {low: 0",
            r"weight_decay\.low must be above 0: .* log scale",
        ),
        ("label_smoothing: {low: 0.0, ", "label_smoothing: {", r"tune\.label_smoothing\.low is missing"),
    ],
)
def test_wrong_search_space_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ParamsError, match=message):
        read_params(path)


def test_writing_values_changes_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(SHIPPED.read_bytes())
    write_params(
        path, {"train.head.dropout": 0.315, "train.head.optimizer": "sgd", "train.head.hidden_units": 64}
    )
    before, after = (file.read_text(encoding="utf-8").splitlines() for file in (SHIPPED, path))
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert [new.split("#")[0].strip() for _, new in changed] == [
        "hidden_units: 64",
        "dropout: 0.315",
        "optimizer: sgd",
    ]
    for old, new in changed:  # the comments stand
        assert old.partition("#")[2] == new.partition("#")[2]
    assert read_params(path).train.head.dropout == 0.315


def test_writing_an_absent_key_is_refused_and_leaves_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(SHIPPED.read_bytes())
    with pytest.raises(ParamsError, match=r"mine\.yaml: train\.head\.momentum is missing"):
        write_params(path, {"train.head.dropout": 0.3, "train.head.momentum": 0.9})
    assert path.read_bytes() == SHIPPED.read_bytes()


# --- what is drawn


@pytest.mark.slow
def test_drawn_numbers_are_in_their_ranges_and_have_three_digits(params: Params) -> None:
    import optuna

    from lenslet.tuning.space import draw_head

    def rate_of(optimizer: str) -> float:
        return {"adam": 0.001, "adamw": 0.002, "sgd": 0.1, "rmsprop": 0.004}[optimizer]

    chosen = {
        "optimizer": "sgd", "learning_rate_factor": 0.54321, "hidden_units": 64,
        "weight_decay": 0.0123456, "dropout": 0.5, "label_smoothing": 0.1,
    }  # fmt: skip
    head = draw_head(optuna.trial.FixedTrial(chosen), params.tune, params.train.head, rate_of)
    assert (head.optimizer, head.hidden_units) == ("sgd", 64)
    assert (head.learning_rate, head.weight_decay) == (0.0543, 0.0123)
    assert (head.dropout, head.label_smoothing) == (0.5, 0.1)
    assert head.batch_size == 8  # not searched: as it was

    adam = optuna.trial.FixedTrial(chosen | {"optimizer": "adam"})
    assert draw_head(adam, params.tune, params.train.head, rate_of).weight_decay == 0.0


@pytest.mark.slow
def test_only_backbones_whose_weights_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lenslet.config import BackboneParams
    from lenslet.tuning.backbones import available_backbones

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5").touch()
    imagenet = BackboneParams("mobilenet_v2", "imagenet", "all")
    assert available_backbones(imagenet, ("mobilenet_v2", "vgg16", "small_cnn")) == ["vgg16"]
    with pytest.raises(ParamsError, match=r"none of tune\.backbones are in .*add efficientnet_lite0"):
        available_backbones(imagenet, ("mobilenet_v2",))
    with pytest.raises(ParamsError, match="'vgg61' is unknown; known are: mobilenet_v2, "):
        available_backbones(imagenet, ("vgg61",))
    with pytest.raises(ParamsError, match="without weights has nothing to search a head on"):
        available_backbones(replace(imagenet, weights="none"), ("vgg16",))
    of_a_file = replace(imagenet, weights="model/model.keras")
    assert available_backbones(of_a_file, ("vgg16",)) == ["mobilenet_v2"]


@pytest.mark.slow
def test_file_names_are_those_that_keras_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from keras.src.utils import file_utils

    from lenslet.network.backbones import BACKBONES

    asked = []

    def note(fname: str, *arguments: object, **options: object) -> None:
        asked.append(fname)
        raise FileNotFoundError

    monkeypatch.setattr(file_utils, "get_file", note)
    rows = {name: row for name, row in BACKBONES.items() if row.imagenet_file and row.is_downloadable}
    for row in rows.values():
        with pytest.raises(FileNotFoundError):
            row.constructor(input_shape=(None, None, 3), include_top=False, weights="imagenet")
    assert asked == [row.imagenet_file for row in rows.values()]


# --- how a trial is judged


@pytest.mark.slow
def test_judgement_of_four_photos() -> None:
    """Mean of -ln(0.8), -ln(0.4), -ln(0.5), -ln(0.5); of four pairs light-dark, three and a half are in order."""
    from lenslet.tuning.trials import validation_figures

    probabilities = np.array([[0.8, 0.2], [0.4, 0.6], [0.5, 0.5], [0.5, 0.5]], np.float32)
    figures = validation_figures(probabilities[[0, 3, 2, 1]], np.array([0, 0, 1, 1]))
    assert figures["log_loss"] == pytest.approx((0.22314 + 0.69315 + 0.69315 + 0.51083) / 4, abs=1e-4)
    assert figures["auc"] == pytest.approx(3.5 / 4)
    assert figures["accuracy"] == 0.5 + 0.25


@pytest.mark.slow
def test_best_epoch_counts_and_the_search_learns(params: Params, folds, tmp_path: Path) -> None:
    from lenslet.tuning.study import best_trials
    from lenslet.tuning.summary import trial_table
    from lenslet.tuning.trials import run_trials

    study = opened(tmp_path / "tune.db", params)
    run_trials(study, folds, 2, params, RATES)
    best = best_trials(study, 10)[0]
    assert best.value == best.user_attrs["figures"]["log_loss"] == min(best.intermediate_values.values())
    assert best.value < 0.65  # guessing is 0.69
    assert study.trials[0].params["optimizer"] == "adam"  # the first is what params.yaml says
    assert study.trials[0].user_attrs["head"]["dropout"] == 0.2
    assert study.trials[0].user_attrs["head"]["learning_rate"] == 0.001
    assert f"{best.value:.4f}" in trial_table([best])


@pytest.mark.slow
def test_same_seed_same_head(params: Params, folds) -> None:
    import keras

    from lenslet.tuning.trials import fit_epochs

    def run() -> list[np.ndarray]:
        keras.utils.set_random_seed(7)
        return list(fit_epochs(*folds["small_cnn"], 2, params.train.head))

    first, second = run(), run()
    assert len(first) == params.train.head.epochs
    np.testing.assert_allclose(first[-1], second[-1], atol=1e-5)
    assert np.abs(first[0] - first[-1]).max() > 1e-3  # it did train


@pytest.mark.slow
def test_class_weights_make_a_rare_class_count_as_much(params: Params) -> None:
    import keras

    from lenslet.training.features import LabelledFeatures
    from lenslet.tuning.trials import fit_epochs

    # Nothing to tell the classes apart: the probability is the share of the class, 40 of 240, or a half.
    targets = np.repeat([0, 1], [200, 40])
    blind = LabelledFeatures(np.zeros((240, 8), np.float32), targets)
    head = replace(params.train.head, learning_rate=0.05)
    for rule, expected in (("none", 1 / 6), ("balanced", 1 / 2)):
        keras.utils.set_random_seed(7)
        *_, last = fit_epochs(blind, blind, 2, head, rule)
        assert last[:, 1].mean() == pytest.approx(expected, abs=0.08), rule


# --- the study


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tune.db", "tune.journal"])
def test_study_goes_on_and_ends_at_its_number_of_trials(
    name: str, params: Params, folds, tmp_path: Path
) -> None:
    from lenslet.tuning.trials import run_trials

    shorter = replace(params, tune=replace(params.tune, trials=2))
    run_trials(opened(tmp_path / name, shorter), folds, 2, shorter, RATES)
    study = opened(tmp_path / name, params)
    assert len(study.trials) == 2
    run_trials(study, folds, 2, params, RATES)
    assert len(study.trials) == 4
    run_trials(study, folds, 2, params, RATES)
    assert len(study.trials) == 4
    assert len({json.dumps(trial.params, sort_keys=True) for trial in study.trials}) == 4


@pytest.mark.slow
def test_study_of_another_space_is_refused_with_the_way_out(params: Params, tmp_path: Path) -> None:
    from lenslet.tuning.study import StudyRefused

    opened(tmp_path / "tune.db", params)
    opened(tmp_path / "tune.db", replace(params, tune=replace(params.tune, trials=9)))  # longer is no other
    wider = replace(params, tune=replace(params.tune, dropout=Range(0.0, 0.9), objective="auc"))
    with pytest.raises(
        StudyRefused, match=r"another search \(other dropout, objective\): give --study a new file"
    ):
        opened(tmp_path / "tune.db", wider)
    dataset = tiny_dataset()
    others = replace(dataset, hashes=("ff", *dataset.hashes[1:]))
    with pytest.raises(StudyRefused, match=r"\(other photos\)"):
        opened(tmp_path / "tune.db", params, others)


@pytest.mark.slow
def test_what_is_no_study_is_refused(params: Params, tmp_path: Path) -> None:
    from lenslet.tuning.study import StudyRefused

    (tmp_path / "notes.db").write_text("not a database, but long enough to have a header of its own" * 9)
    for place in (tmp_path / "notes.db", "nosuch://me:secret@host/base"):
        sentence = r"cannot be opened as a study .* give --study a new file"
        with pytest.raises(StudyRefused, match=sentence) as refused:
            opened(place, params)
        assert "secret" not in str(refused.value)


# --- the verb


class GuardedPixels(np.ndarray):
    def __getitem__(self, rows):
        wanted = np.atleast_1d(np.arange(len(SPLITS))[rows]) if self.ndim == 4 else np.array([], int)
        assert not {SPLITS[row] for row in wanted} & {"test"}, "pixels of test photos were read"
        return np.asarray(self)[rows]


class WithoutTest(Dataset):
    def members(self, split: str) -> np.ndarray:
        assert split != "test", "the test split was asked for"
        return super().members(split)


def guarded_dataset() -> Dataset:
    dataset = tiny_dataset(WithoutTest)
    return replace(dataset, pixels=dataset.pixels.view(GuardedPixels))


def test_guard_refuses_test_photos() -> None:
    dataset = guarded_dataset()
    assert dataset.pixels[dataset.rows[dataset.members("validation")]].shape == (8, 16, 16, 3)
    with pytest.raises(AssertionError, match="pixels of test photos"):
        dataset.pixels[[3, 25]]
    with pytest.raises(AssertionError, match="was asked for"):
        dataset.members("test")


@pytest.fixture(scope="module")
def small_weights(tmp_path_factory: pytest.TempPathFactory, params: Params) -> Path:
    from lenslet.config import BackboneParams
    from lenslet.network.assembly import build_network
    from lenslet.network.backbones import build_backbone

    path = tmp_path_factory.mktemp("weights") / "small.keras"
    build_network(build_backbone(BackboneParams("small_cnn", "none", "all")), 2, params.train).save(path)
    return path


def own_params(folder: Path) -> Path:
    text = SHIPPED.read_text(encoding="utf-8")
    for old, new in (
        ("name: efficientnet_lite0 ", "name: small_cnn "),
        ("image_size: auto", "image_size: 16"),
        ("trials: 50", "trials: 3"),
        ("epochs: 60", "epochs: 3"),
        ("epochs: 12", "epochs: 1"),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path = folder / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.slow
def test_search_fine_tunes_draws_and_writes_without_a_look_at_the_test_photos(
    small_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reading, "read_dataset", lambda *arguments: guarded_dataset())
    path = own_params(tmp_path)
    places = ["--study", str(tmp_path / "tune.db"), "--report", str(tmp_path / "report")]
    places += ["--cache", str(tmp_path / "cache"), "--runs", str(tmp_path / "runs"), "--params", str(path)]
    common = ["--data", str(tmp_path), "--weights", str(small_weights), *places]
    assert main(["tune", *common, "--fine-tune-top", "1", "--write"]) == 0
    said = capsys.readouterr().out
    assert "3 trials in " in said
    assert "validation photos are too few to choose by" in said
    names = {picture.name for picture in (tmp_path / "report").iterdir()}
    assert "tune_history.png" in names
    number = int(said.split("fine-tuned")[0].split("trial ")[-1])
    written = read_params(path).train.head
    row = next(line for line in said.splitlines() if line.split()[:1] == [str(number)])
    assert f"{written.learning_rate:.2g}" in row.split()
    assert written.optimizer in row.split()

    [run] = (tmp_path / "runs").glob(f"*-tune-trial-{number}")
    assert f"trial {number} fine-tuned, in {run}: log_loss" in said
    assert {path.name for path in run.iterdir()} >= {"model.keras", "training.json", "log.csv"}
    assert not (run / "checkpoint.npz").exists()
    with monkeypatch.context() as patched:
        patched.setattr("lenslet.tuning.fine_tuned_trials.fine_tune_trial", None)  # nothing is trained twice
        assert main(["tune", *common, "--fine-tune-top", "1"]) == 0
    assert f"trial {number} fine-tuned, in {run}: log_loss" in capsys.readouterr().out

    for step in ([], ["--fine-tune"]):
        assert main(["tune", *common, "--lr-finder", *step]) == 0
        key = "fine_tune" if step else "head"
        assert f"suggested train.{key}.learning_rate: " in capsys.readouterr().out
    assert (tmp_path / "report" / "lr_finder.png").read_bytes()[:4] == b"\x89PNG"

    # The file holds other numbers now, but the space is the same; another objective is another search.
    path.write_text(path.read_text().replace("objective: log_loss", "objective: accuracy"))
    assert main(["tune", *common]) == 2
    assert "another search (other objective): give --study a new file" in capsys.readouterr().err


@pytest.mark.slow
def test_search_without_a_trial_that_ran_to_its_end_writes_no_settings(
    small_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lenslet.tuning import trials

    nowhere = np.full((1, 2), np.nan, np.float32)
    monkeypatch.setattr(reading, "read_dataset", lambda *arguments: guarded_dataset())
    monkeypatch.setattr(trials, "fit_epochs", lambda *arguments: iter([nowhere]))  # diverges at once
    path = own_params(tmp_path)
    before = path.read_text()
    places = [
        "--study",
        str(tmp_path / "tune.db"),
        "--report",
        str(tmp_path / "report"),
        "--params",
        str(path),
    ]
    places += ["--cache", str(tmp_path / "cache"), "--runs", str(tmp_path / "runs")]
    common = ["--data", str(tmp_path), "--weights", str(small_weights), *places]
    assert main(["tune", *common, "--fine-tune-top", "1", "--write"]) == 2
    said = capsys.readouterr()
    assert "3 trials in " in said.out
    assert said.err.splitlines()[-1] == (
        "lenslet tune: no trial ran to its end, so there are no settings to write: "
        "narrow tune.learning_rate_factor in params.yaml, or raise tune.trials"
    )
    assert path.read_text() == before


@pytest.mark.slow
def test_fine_tuning_by_other_parameters_is_another(params: Params, folds, tmp_path: Path) -> None:
    from lenslet.tuning.fine_tuned_trials import fine_tuning_of, keep_fine_tuning
    from lenslet.tuning.study import best_trials
    from lenslet.tuning.trials import run_trials

    study = opened(tmp_path / "tune.db", params)
    run_trials(study, folds, 2, params, RATES)
    [trial] = best_trials(study, 1)
    begun = fine_tuning_of(study, trial, params.train, tmp_path)
    assert (begun.run.parent, dict(begun.figures)) == (tmp_path, {})
    # Stopped there: the same folder, whose checkpoint goes on.
    assert fine_tuning_of(study, trial, params.train, tmp_path / "other") == begun
    keep_fine_tuning(study, trial, params.train, replace(begun, figures={"log_loss": 0.5}))
    longer = replace(params.train, fine_tune=replace(params.train.fine_tune, epochs=2))
    assert fine_tuning_of(study, trial, params.train, tmp_path).figures == {"log_loss": 0.5}
    assert not fine_tuning_of(study, trial, longer, tmp_path).figures


@pytest.mark.slow
def test_optimizer_without_a_learning_rate_is_left_out(
    params: Params, folds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lenslet.training.lr_finder import LearningRateNotFound, sweep_head
    from lenslet.tuning import learning_rates, trials

    def sweep(train, classes, head, class_weights):
        if head.optimizer in refused:
            raise LearningRateNotFound("the loss falls at no learning rate")
        return sweep_head(train, classes, head, class_weights)

    monkeypatch.setattr(learning_rates, "sweep_head", sweep)
    two = replace(params, tune=replace(params.tune, optimizers=("adam", "sgd"), trials=6))
    study, refused = opened(tmp_path / "tune.db", two), {"sgd"}
    rates = learning_rates.suggested_rates(study, folds, 2, two)
    assert list(rates) == ["small_cnn adam"]
    trials.run_trials(study, folds, 2, two, rates)
    ended = [trial.params["optimizer"] for trial in study.trials if trial.state.name == "COMPLETE"]
    assert set(ended) == {"adam"}
    refused.add("adam")
    with pytest.raises(LearningRateNotFound, match="no backbone has a learning rate"):
        learning_rates.suggested_rates(opened(tmp_path / "none.db", two), folds, 2, two)


@pytest.mark.slow
@pytest.mark.parametrize("is_pressed", [True, False])
def test_ctrl_c_that_a_library_makes_another_error_of_is_ctrl_c(
    is_pressed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import optuna

    from lenslet.tuning import trials

    def run_trial(*ignored: object) -> float:
        with suppress(KeyboardInterrupt):
            if is_pressed:
                signal.raise_signal(signal.SIGINT)
        raise TypeError("no tensor")

    monkeypatch.setattr(trials, "_run_trial", run_trial)
    study = optuna.create_study()
    study.enqueue_trial({})
    with pytest.raises(KeyboardInterrupt if is_pressed else TypeError):
        trials.run_trials(study, {}, 2, read_params(Path("params.yaml")), {})


@pytest.mark.slow
def test_swallowed_ctrl_c_ends_the_search_after_the_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    import optuna

    from lenslet.tuning import trials

    def run_trial(*ignored: object) -> float:
        with suppress(KeyboardInterrupt):  # as a destructor does
            signal.raise_signal(signal.SIGINT)
        return 0.5

    params = read_params(Path("params.yaml"))
    study = optuna.create_study()
    study.enqueue_trial({})
    monkeypatch.setattr(trials, "_run_trial", run_trial)
    with pytest.raises(KeyboardInterrupt):
        trials.run_trials(study, {}, 2, params, {})
    assert len(study.trials) == 1


@pytest.mark.slow
def test_ctrl_c_keeps_the_study_and_two_processes_share_it(small_weights: Path, tmp_path: Path) -> None:
    """The first is stopped after a trial; then two go on at once and stop at the number that params.yaml says."""
    from lenslet.tuning.study import FINISHED
    from tests.support.photos import write_class

    for label, colour in (("red", (255, 0, 0)), ("blue", (0, 0, 255))):
        write_class(tmp_path / "photos" / label, 20, colour, first_seed=len(label) * 100)
    path = own_params(tmp_path)
    path.write_text(path.read_text().replace("trials: 3", "trials: 1000"))
    place = tmp_path / "shared.journal"
    command = [sys.executable, "-m", "lenslet", "tune", "--data", tmp_path / "photos", "--params", path]
    command += ["--weights", small_weights, "--study", place, "--cache", tmp_path / "cache"]
    command += ["--report", tmp_path / "report", "--runs", tmp_path / "runs"]

    def finished() -> int:
        import optuna

        backend = optuna.storages.journal.JournalFileBackend(str(place))
        study = optuna.load_study(study_name="head", storage=optuna.storages.JournalStorage(backend))
        return len(study.get_trials(states=FINISHED))

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ
        )

    first = start()
    deadline = time.monotonic() + 60
    while not (place.exists() and '"state"' in place.read_text() and finished() >= 2):
        assert first.poll() is None and time.monotonic() < deadline, first.communicate()
        time.sleep(0.2)
    first.send_signal(signal.SIGINT)
    _, error = first.communicate(timeout=30)
    assert first.returncode == 130, error
    assert "the same command continues the study" in error
    assert "Traceback" not in error
    kept = finished()
    assert kept >= 2

    path.write_text(path.read_text().replace("trials: 1000", f"trials: {kept + 6}"))
    both = [start(), start()]
    for process in both:
        _, error = process.communicate(timeout=90)
        assert process.returncode == 0, error
    assert kept + 6 <= finished() <= kept + 7  # the last two may end at the same time


# --- sizes of pictures


@pytest.mark.slow
def test_size_of_the_pictures_is_searched_where_it_is_auto(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each size has its features, the same photos validate, and the best one is written as a number."""
    path = own_params(tmp_path)
    text = path.read_text(encoding="utf-8").replace("image_size: 16 ", "image_size: auto ")
    for old, new in (
        ("name: small_cnn ", "name: efficientnet_lite0 "),  # whose weights come with the package
        ("backbones: [efficientnet_lite0, ", "backbones: [efficientnet_lite0]  # [ "),
        ("image_sizes: [160, 224] ", "image_sizes: [32, 64] "),
        ("trials: 3", "trials: 6"),
        # One will be fine-tuned, perhaps at 160 pixels.
        ("min_steps_per_epoch: 20 ", "min_steps_per_epoch: 2 "),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    common = ["--data", "data/sample", "--params", str(path), "--study", str(tmp_path / "tune.db")]
    common += [
        "--report",
        str(tmp_path / "report"),
        "--cache",
        str(tmp_path / "cache"),
        "--runs",
        str(tmp_path / "runs"),
    ]
    assert main(["tune", *common, "--write", "--json", "--fine-tune-top", "1", "--leaks", "keep"]) == 0
    captured = capsys.readouterr()
    assert "sizes that are searched: 32, 64, 160 pixels (tune.image_sizes)" in captured.err
    sizes = {row["settings"]["train.image_size"] for row in json.loads(captured.out)}
    assert len(sizes) > 1
    assert sizes <= {32, 64, 160}
    best = next(row for row in json.loads(captured.out) if "fine_tuned" in row)
    written = read_params(path).train
    assert written.image_size == best["settings"]["train.image_size"]
    assert written.backbone.name == "efficientnet_lite0"
    record = json.loads((Path(best["run"]) / "training.json").read_text(encoding="utf-8"))
    assert record["params"]["image_size"] == written.image_size
