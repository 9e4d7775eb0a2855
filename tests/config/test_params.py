"""params.yaml: what is read, and the sentence for each thing that is wrong with it."""

from pathlib import Path

import pytest

from lenslet.config import ParamsError, find_params, read_params, write_params

SHIPPED = Path("params.yaml")


def test_shipped_file_is_read() -> None:
    params = read_params(SHIPPED)
    assert params.train.backbone.name == "efficientnet_lite0"
    assert params.train.backbone.layers_unfrozen == "all"
    assert params.convert.precisions == ("float32", "float16", "dynamic_range", "int8")
    assert isinstance(params.train.head.dropout, float)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seed: 20", "sed: 20", r"train\.sed is not a known key; did you mean seed\?"),
        ("seed: 20", "x: 20", r"train\.x is not a known key; known here: seed, split_seed, image_size"),
        (
            "min_steps_per_epoch:",
            "steps_at_least:",
            r"fine_tune\.steps_at_least is called min_steps_per_epoch since",
        ),
        (
            "min_validation_photos:",
            "judges_at_least:",
            r"judges_at_least is called min_validation_photos since",
        ),
        (
            "mixup_min_photos:",
            "mixup_from:",
            r"augmentation\.mixup_from is called mixup_min_photos since version 0",
        ),
        ("max_slowdown:", "slower_allowed:", r"convert\.slower_allowed is called max_slowdown since"),
        (
            "max_accuracy_loss:",
            "accuracy_loss_allowed:",
            r"accuracy_loss_allowed is called max_accuracy_loss since",
        ),
        ("min_agreement:", "agreement_required:", r"agreement_required is called min_agreement since"),
        (
            "ood_true_positive_rate:",
            "familiar_share:",
            r"familiar_share is called ood_true_positive_rate since",
        ),
        (
            "corruption_photos: 300",
            "ladder_photos: 300",
            r"evaluate\.ladder_photos is called corruption_photos since",
        ),
        (
            "min_recall:",
            "worst_recall:",
            r"gate\.models\.intel-scenes\.min\.worst_recall is called min_recall since",
        ),
        ("  min:", "  at_least:", r"gate\.at_least is called min since version 0\.2\.0"),
        ("  seed: 20", "", r"train\.seed is missing"),
        (
            "image_size: auto",
            "image_size: big",
            r"train\.image_size must be a whole number \| auto, not 'big'",
        ),
        (
            "image_size: auto",
            "image_size: 160.5",
            r"train\.image_size must be a whole number \| auto, not 160\.5",
        ),
        (
            "image_size: auto",
            "image_size: true",
            r"train\.image_size must be a whole number \| auto, not True",
        ),
        ("dropout: 0.2", "dropout: -0.2", r"train\.head\.dropout must be a number from 0 on, not -0\.2"),
        ("dropout: 0.2", "dropout: 1.5", r"train\.head\.dropout must be from 0 to 0\.95, not 1\.5"),
        ("dropout: 0.2", "dropout: .nan", r"train\.head\.dropout must be a number from 0 on, not nan"),
        ("batch_size: 32", "batch_size: 0", r"train\.fine_tune\.batch_size must be from 1 to 1e\+06, not 0"),
        ("warmup_epochs: 0.5", "warmup_epochs: .inf", r"warmup_epochs must be a number from 0 on, not inf"),
        ("  seed: 20", "  seed: 20\n  seed: 21", r"(?s)is not valid YAML: .*duplicate key"),
        ("flip: horizontal", "flip: diagonal", r"augmentation\.flip must be none \| horizontal \| both"),
        ("layers_unfrozen: all", "layers_unfrozen: some", r"layers_unfrozen must be a whole number \| all"),
        ("[float32, float16, dynamic_range, int8]", "[]", r"convert\.precisions must be a list"),
        ("[float32, float16, dynamic_range, int8]", "[float8]", r"convert\.precisions must be float32 \| "),
        ("convert:", "convert: [", r"is not valid YAML"),
    ],
)
def test_wrong_value_is_named_with_its_file(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ParamsError, match=message) as caught:
        read_params(path)
    assert "mine.yaml" in str(caught.value)


def test_whole_layer_count_and_whole_number_for_a_fraction_are_allowed(tmp_path: Path) -> None:
    text = SHIPPED.read_text(encoding="utf-8").replace("layers_unfrozen: all", "layers_unfrozen: 20")
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace("dropout: 0.2", "dropout: 0"), encoding="utf-8")
    params = read_params(path).train
    assert params.backbone.layers_unfrozen == 20
    assert params.head.dropout == 0.0


def test_small_numbers_are_read_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(SHIPPED.read_text(encoding="utf-8"), encoding="utf-8")
    write_params(path, {"train.head.learning_rate": 1e-05})
    assert read_params(path).train.head.learning_rate == 1e-05
    path.write_text(SHIPPED.read_text(encoding="utf-8").replace("1.0e-3", "2e-3"), encoding="utf-8")
    assert read_params(path).train.head.learning_rate == 0.002


def test_other_encoding_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes("# größer\n".encode("latin-1"))
    with pytest.raises(ParamsError, match=r"mine\.yaml is not text in UTF-8"):
        read_params(path)


def test_file_is_found_beside_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = read_params(SHIPPED)
    monkeypatch.chdir(tmp_path)
    assert read_params() == shipped
    text = find_params().read_text(encoding="utf-8").replace("seed: 20", "seed: 21", 1)
    Path("params.yaml").write_text(text, encoding="utf-8")
    assert read_params().train.seed == 21  # the current folder comes first


def test_no_file_anywhere_is_one_sentence_with_the_places(tmp_path: Path) -> None:
    places = [tmp_path / "here" / "params.yaml", tmp_path / "there" / "params.yaml"]
    with pytest.raises(
        ParamsError, match=r"there is no params\.yaml: looked for \S+/here/params\.yaml, \S+/there/"
    ):
        find_params(places)


def test_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"none\.yaml cannot be read: No such file"):
        read_params(tmp_path / "none.yaml")
