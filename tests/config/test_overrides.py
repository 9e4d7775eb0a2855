"""`--set section.key=value`: what replaces the file's value, and the sentence for each thing that is wrong."""

from pathlib import Path

import pytest

from lenslet.config import ParamsError, Range, read_params
from lenslet.config.overrides import likely_keys

SHIPPED = Path("params.yaml")


def value_of(params: object, key: str) -> object:
    for name in key.split("."):
        params = getattr(params, name)
    return params


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("train.fine_tune.epochs", "3", 3),
        ("train.head.learning_rate", "1e-4", 0.0001),
        ("train.head.dropout", "0", 0.0),  # a whole number for a fraction, as in the file
        ("train.backbone.layers_unfrozen", "all", "all"),
        ("train.backbone.layers_unfrozen", "20", 20),
        ("train.backbone.weights", "out/a=b/model.keras", "out/a=b/model.keras"),  # the first = divides
        ("train.augmentation.flip", "none", "none"),
        ("convert.precisions", "[float16, int8]", ("float16", "int8")),
        ("tune.dropout.low", "0.1", 0.1),
        ("tune.dropout", "{low: 0.1, high: 0.2}", Range(0.1, 0.2)),
        ("gate.min.min_recall", "0.5", 0.5),
        ("gate.min.accuracy", "null", None),
        ("gate.models", "{}", {}),
    ],
)
def test_value_is_typed_as_in_the_file(key: str, text: str, expected: object) -> None:
    found = value_of(read_params(SHIPPED, [f"{key}={text}"]), key)
    assert found == expected
    assert type(found) is type(expected)


def test_other_keys_stay_and_the_last_of_two_counts() -> None:
    params = read_params(SHIPPED, ["train.seed=1", "train.fine_tune.epochs=2", "train.seed=3"])
    assert (params.train.seed, params.train.split_seed, params.train.fine_tune.epochs) == (3, 20, 2)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "train.fine_tune.epochs=-1",
            r"--set \S+: train\.fine_tune\.epochs must be a number from 0 on, not -1",
        ),
        ("train.fine_tune.epochs=3.5", r"epochs must be a whole number, not 3\.5"),
        ("train.fine_tune.epochs=many", r"epochs must be a whole number, not 'many'"),
        ("train.fine_tune.epochs=", r"epochs= has no value"),
        ("train.fine_tune.epochs=null", "epochs must be a whole number, not None"),
        ("train.head.dropout=2", r"train\.head\.dropout must be from 0 to 0\.95, not 2"),
        ("train.head.optimizer=adagrad", r"optimizer must be adam \| adamw \| sgd \| rmsprop, not 'adagrad'"),
        ("convert.precisions=int8", r"convert\.precisions must be a list, not 'int8'"),
        ("convert.precisions=[int8", r"--set convert\.precisions=\[int8: the value is not valid YAML: "),
        ("endpoint.corruption_photos=61", r"endpoint\.corruption_photos must not be above photos, but is 61"),
        ("train.fine_tune.epoch=3", r"is not a key of params\.yaml; did you mean train\.fine_tune\.epochs"),
        ("epochs=3", r"did you mean train\.head\.epochs or train\.fine_tune\.epochs\?"),
        ("fine_tune.epochs=3", r"did you mean train\.fine_tune\.epochs\b"),
        ("train.steps_at_least=3", r"did you mean train\.fine_tune\.min_steps_per_epoch\?"),
        (
            "gate.at_least.worst_recall=0",
            r"did you mean gate\.min\.min_recall or gate\.models\.NAME\.min\.min_recall\?",
        ),
        ("zzz=3", r"--set zzz=3: zzz is not a key of params\.yaml$"),
        ("gate.models.mine.min.acuracy=1", r"did you mean .*gate\.models\.NAME\.min\.accuracy"),
        ("gate.models.mine.min.accuracy=high", r"gate\.models\.mine\.min\.accuracy must be a number"),
        ("gate.models.mine=3", r"gate\.models\.mine must hold min, max, not 3"),
        ("train.seed", r"--set takes section\.key=value, not 'train\.seed'"),
        ("=3", r"--set takes section\.key=value, not '=3'"),
    ],
)
def test_wrong_override_is_one_sentence(override: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        read_params(SHIPPED, [override])


def test_two_that_only_fit_together_are_taken_together() -> None:
    params = read_params(SHIPPED, ["endpoint.corruption_photos=70", "endpoint.photos=80"]).endpoint
    assert (params.corruption_photos, params.photos) == (70, 80)


@pytest.mark.parametrize("name", ["mine", "my.own model-2", "intel-scenes"])
def test_limits_of_one_model_are_set_by_its_name(name: str) -> None:
    gate = read_params(SHIPPED, [f"gate.models.{name}.min.accuracy=0.7"]).gate
    assert gate.of(name).min.accuracy == 0.7
    assert gate.of("another").min.accuracy is None


@pytest.mark.parametrize("override", ["gate.min.accuracy=0.5", "gate.min={accuracy: 0.5}"])
def test_limit_of_the_command_line_replaces_that_of_a_model(override: str) -> None:
    before, after = (read_params(SHIPPED, words).gate.of("intel-scenes") for words in ([], [override]))
    assert (before.min.accuracy, after.min.accuracy) == (0.9, 0.5)
    assert (before.min.roc_auc, before.max) == (after.min.roc_auc, after.max)
    both = [override, "gate.models.intel-scenes.min.accuracy=0.8"]
    assert read_params(SHIPPED, both).gate.of("intel-scenes").min.accuracy == 0.8


def test_key_below_a_value_is_one_sentence() -> None:
    with pytest.raises(ParamsError, match=r"--set gate\.min\.accuracy=1: min is 3, which holds no keys"):
        read_params(SHIPPED, ["gate.min=3", "gate.min.accuracy=1"])


def test_likely_keys() -> None:
    keys = ["train", "train.seed", "train.head.epochs", "train.fine_tune.epochs", "gate.min.min_recall"]
    assert likely_keys("train.head.epoch", keys) == ["train.head.epochs", "train.fine_tune.epochs"]
    assert likely_keys("worst_recall", keys) == ["gate.min.min_recall"]
    assert likely_keys("colour", keys) == []


@pytest.mark.parametrize("override", ["gate.min.accuracy=", "gate.min.accuracy= ", "train.seed="])
def test_override_without_a_value_is_refused(override: str) -> None:
    """`--set gate.min.accuracy=$MIN` of a variable that is not set would take the limit away."""
    with pytest.raises(ParamsError, match="has no value"):
        read_params(Path("params.yaml"), [override])


@pytest.mark.parametrize(
    "override", ["gate.max.calibration_error=5", "gate.min.accuracy=1.01", "gate.models.mine.min.roc_auc=90"]
)
def test_limit_of_a_share_is_a_share(override: str) -> None:
    """90 for 0.9 would fail each model, and 5 for 0.05 keep every one."""
    with pytest.raises(ParamsError, match="must be from 0 to 1"):
        read_params(Path("params.yaml"), [override])


def test_no_limit_is_written_out() -> None:
    assert read_params(Path("params.yaml"), ["gate.min.accuracy=null"]).gate.min.accuracy is None
