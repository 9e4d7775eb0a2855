"""The network: its two outputs, its head, what fine-tuning may change, and every row of the backbone table."""

import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lenslet.config import BackboneParams, TrainParams, read_params

pytestmark = pytest.mark.slow


SUBSPACE = np.eye(128, 2, dtype=np.float32)


@pytest.fixture
def params() -> TrainParams:
    """A network that is built in a moment."""
    shipped = read_params(Path("params.yaml")).train
    return replace(shipped, image_size=32, backbone=BackboneParams("small_cnn", "none", "all"))


def pictures(count: int = 3) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 32, 32, 3), np.uint8)


def build(params: TrainParams, classes: int = 4):
    from lenslet.network.assembly import build_network
    from lenslet.network.backbones import build_backbone

    return build_network(build_backbone(params.backbone), classes, params)


def test_mean_of_the_activation_map_is_the_logits(params: TrainParams) -> None:
    network = build(params)
    outputs = network.predict(pictures(), verbose=0)
    logits = outputs["activation_map"].mean(axis=(1, 2))
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(outputs["probabilities"], softmax, atol=1e-5)


def test_dense_head_is_the_same_function_in_the_network(params: TrainParams) -> None:
    from lenslet.network.assembly import build_feature_extractor, build_network, logits_of, set_head
    from lenslet.network.backbones import build_backbone

    backbone = build_backbone(params.backbone)
    network = build_network(backbone, 4, params)
    features = build_feature_extractor(backbone, params).predict(pictures(), verbose=0)
    random = np.random.default_rng(2)
    kernel, bias = random.normal(size=(128, 4)).astype(np.float32), random.normal(size=4).astype(np.float32)
    set_head(network, [kernel, bias])
    logits = logits_of(network).predict(pictures(), verbose=0)
    np.testing.assert_allclose(logits, features @ kernel + bias, rtol=1e-3, atol=1e-3)


def test_hidden_units_leave_no_map(params: TrainParams) -> None:
    from lenslet.network.assembly import build_feature_extractor, build_network, logits_of, set_head
    from lenslet.network.backbones import build_backbone

    hidden = replace(params, head=replace(params.head, hidden_units=5))
    backbone = build_backbone(hidden.backbone)
    network = build_network(backbone, 4, hidden)
    assert list(network.output) == ["probabilities"]
    random = np.random.default_rng(2)
    weights = [random.normal(size=shape).astype(np.float32) for shape in ((128, 5), (5,), (5, 4), (4,))]
    set_head(network, weights)
    features = build_feature_extractor(backbone, hidden).predict(pictures(), verbose=0)
    expected = np.maximum(features @ weights[0] + weights[1], 0) @ weights[2] + weights[3]
    logits = logits_of(network).predict(pictures(), verbose=0)
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-3)


def test_temperature_divides_the_logits(params: TrainParams) -> None:
    from lenslet.network.assembly import logits_of, served_network

    network = build(params)
    logits = logits_of(network).predict(pictures(), verbose=0) / 2
    cooled = served_network(network, 2.0, SUBSPACE).predict(pictures(), verbose=0)
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(cooled["probabilities"], softmax, atol=1e-5)
    assert cooled["activation_map"].shape == (3, 4, 4, 4)


@pytest.mark.parametrize("hidden_units", [0, 5])
def test_feature_residual_is_the_sine_of_the_angle_to_the_subspace(
    params: TrainParams, hidden_units: int
) -> None:
    from lenslet.network.assembly import logits_and_features_of, served_network

    network = build(replace(params, head=replace(params.head, hidden_units=hidden_units)))
    features = logits_and_features_of(network).predict(pictures(), verbose=0)["features"]
    outside = np.linalg.norm(features[:, 2:], axis=1)  # SUBSPACE is that of the first two channels
    expected = outside / np.linalg.norm(features, axis=1)
    found = served_network(network, 2.0, SUBSPACE).predict(pictures(), verbose=0)["feature_residual"]
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-4)


def test_features_of_nothing_lie_outside(params: TrainParams) -> None:
    from lenslet.network.assembly import served_network

    network = build(params)
    for layer in network.get_layer("backbone").layers:
        layer.set_weights([np.zeros_like(each) for each in layer.get_weights()])
    found = served_network(network, 2.0, SUBSPACE).predict(pictures(), verbose=0)["feature_residual"]
    np.testing.assert_array_equal(found, 1)


@pytest.mark.parametrize(("unfrozen", "expected"), [("all", 54), (0, 2), (3, 3)])
def test_fine_tuning_changes_what_it_may_and_never_batch_norm(
    params: TrainParams, unfrozen: int | str, expected: int
) -> None:
    """MobileNetV2 has 52 convolutions without bias; its last three layers hold one; the head has two tensors."""
    import keras

    from lenslet.network.assembly import build_network, logits_of, unfreeze
    from lenslet.network.backbones import build_backbone

    mobile = replace(params, backbone=BackboneParams("mobilenet_v2_035", "none", "all"))
    network = build_network(build_backbone(mobile.backbone), 4, mobile)
    unfreeze(network, BackboneParams("mobilenet_v2_035", "imagenet", unfrozen))
    assert len(logits_of(network).trainable_variables) == expected
    backbone = network.get_layer("backbone")
    norm = next(layer for layer in backbone.layers if isinstance(layer, keras.layers.BatchNormalization))
    before = norm.moving_mean.numpy().copy()
    logits_of(network)(pictures(), training=True)
    np.testing.assert_array_equal(norm.moving_mean.numpy(), before)


# What each network of the table must make of one red pixel, (255, 0, 0), before its first convolution.
SCALED_RED = {
    "mobilenet_v2": (1, -1, -1),
    "mobilenet_v2_035": (1, -1, -1),
    "mobilenet_v3_small": (1, -1, -1),
    "mobilenet_v3_large": (1, -1, -1),
    "efficientnet_v2_b0": (2.2489, -2.0357, -1.8044),
    "efficientnet_lite0": (1, -0.9922, -0.9922),
    "efficientnet_lite1": (1, -0.9922, -0.9922),
    "resnet50": (-103.939, -116.779, 131.32),
    "vgg16": (-103.939, -116.779, 131.32),
    "small_cnn": (1, 0, 0),
}


def test_every_backbone_has_a_scaling_here() -> None:
    from lenslet.network.backbones import BACKBONES

    assert set(SCALED_RED) == set(BACKBONES)


@pytest.mark.parametrize("name", SCALED_RED)
def test_every_backbone_builds_saves_and_loads(name: str, params: TrainParams, tmp_path: Path) -> None:
    import keras

    from lenslet.network.backbones import BACKBONES

    red = np.full((1, 2, 2, 3), (255, 0, 0), np.uint8)
    scaled = keras.ops.convert_to_numpy(BACKBONES[name].scaling(keras.ops.convert_to_tensor(red)))
    np.testing.assert_allclose(scaled[0, 0, 0], SCALED_RED[name], atol=1e-3)

    network = build(replace(params, backbone=BackboneParams(name, "none", "all")))
    network.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    outputs = loaded.predict(pictures(1), verbose=0)
    assert outputs["probabilities"].shape == (1, 4)
    np.testing.assert_allclose(
        outputs["probabilities"], network.predict(pictures(1), verbose=0)["probabilities"], atol=1e-5
    )


def download_that_fails(fname: str, origin: str, **options: object) -> None:
    # The sentence of keras.utils.get_file, Keras 3.
    raise Exception(f"URL fetch failure on {origin}: None -- [Errno -2] Name or service not known")


def test_missing_imagenet_weights_say_which_file_and_what_else_to_do(
    params: TrainParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keras.src.applications import mobilenet_v2

    from lenslet.network.backbones import WeightsUnavailable, build_backbone

    monkeypatch.setattr(mobilenet_v2.file_utils, "get_file", download_that_fails)
    with pytest.raises(WeightsUnavailable) as caught:
        build_backbone(BackboneParams("mobilenet_v2", "imagenet", "all"))
    sentence = str(caught.value)
    assert "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5" in sentence
    assert "KERAS_HOME" in sentence
    assert "weights that come with lenslet: --set train.backbone.name=efficientnet_lite0" in sentence


def test_weights_are_required_before_photos_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from lenslet.network.backbones import WeightsUnavailable, require_weights

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    require_weights(BackboneParams("efficientnet_lite0", "imagenet", "all"))  # which come with the package
    require_weights(BackboneParams("efficientnet_lite1", "none", "all"))
    with pytest.raises(WeightsUnavailable, match="are not here and cannot be downloaded"):
        require_weights(BackboneParams("efficientnet_lite1", "imagenet", "all"))


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("small_cnn", "imagenet", "small_cnn has no ImageNet weights"),
        ("small_cnn", "nowhere.keras", "for the backbone small_cnn: nowhere.keras does not exist"),
        ("small_cnn", "model/model.keras", "for the backbone small_cnn: they are of another; name it with"),
        ("small_cnn", "README.md", "README.md is damaged, or not a .keras file"),
    ],
)
def test_weights_that_cannot_be_had_are_one_sentence(name: str, weights: str, message: str) -> None:
    from lenslet.network.backbones import WeightsUnavailable, build_backbone

    with pytest.raises(WeightsUnavailable, match=message):
        build_backbone(BackboneParams(name, weights, "all"))


@pytest.mark.parametrize("weights", ["nowhere.keras", "README.md"])
def test_file_of_weights_is_looked_at_before_photos_are_read(weights: str) -> None:
    from lenslet.network.backbones import WeightsUnavailable, require_weights

    require_weights(
        BackboneParams("small_cnn", "model/model.keras", "all")
    )  # of another, which takes longer to see
    with pytest.raises(WeightsUnavailable, match="holds no weights for the backbone small_cnn: "):
        require_weights(BackboneParams("small_cnn", weights, "all"))


def spoiled(network: Any) -> Any:
    network.set_weights([np.full_like(weight, np.nan) for weight in network.get_weights()])
    return network


def without_logits(network: Any) -> Any:
    import keras

    return keras.Model(network.input, network.get_layer("logits").output)


@pytest.mark.parametrize(
    ("change", "message"),
    [(spoiled, "holds weights that are not finite numbers"), (without_logits, "holds another network than")],
)
def test_network_that_answers_nothing_is_one_sentence(
    change: Callable[[Any], Any], message: str, params: TrainParams, tmp_path: Path
) -> None:
    from lenslet.network.backbones import WeightsUnavailable, build_backbone
    from lenslet.training.record import RecordError, load_network

    change(build(params)).save(tmp_path / "model.keras")
    with pytest.raises(RecordError, match=rf"model\.keras {message}"):
        load_network(tmp_path)
    with pytest.raises(WeightsUnavailable, match=rf"small_cnn: .*model\.keras {message}"):
        build_backbone(BackboneParams("small_cnn", str(tmp_path / "model.keras"), "all"))


def test_file_that_unpacks_to_much_more_is_not_unpacked(tmp_path: Path) -> None:
    from lenslet.network.keras_file import KerasFileError, load_keras_file

    with zipfile.ZipFile(tmp_path / "model.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(100 << 20))
    with pytest.raises(KerasFileError, match=r"model\.keras would unpack to 100 MB, which no network does"):
        load_keras_file(tmp_path / "model.keras")


@pytest.mark.parametrize("name", ["mobilenet_v2", "efficientnet_lite1"])
def test_imagenet_file_of_another_network_or_damaged_is_one_sentence(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lenslet.network.backbones import BACKBONES, WeightsUnavailable, build_backbone

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    path = tmp_path / "models" / str(BACKBONES[name].imagenet_file)
    path.write_bytes(b"\x89HDF\r\n\x1a\n cut off")
    with pytest.raises(WeightsUnavailable, match=f"holds no weights of {name}: remove the file"):
        build_backbone(BackboneParams(name, "imagenet", "all"))


def test_imagenet_weights_of_a_network_that_keras_does_not_know_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lenslet.network.backbones import WeightsUnavailable, build_backbone

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(WeightsUnavailable, match=r"efficientnet_lite1_notop_he\.weights\.h5 are not here"):
        build_backbone(BackboneParams("efficientnet_lite1", "imagenet", "all"))


def test_a_machine_without_cache_or_network_starts_from_the_weights_in_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Expected: mean features that the float32 weights of the origin gave for the same ramp, once."""
    from lenslet.network.backbones import build_backbone

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    backbone = build_backbone(BackboneParams("efficientnet_lite0", "imagenet", "all"))
    ramp = np.linspace(-1, 1, 64 * 64 * 3, dtype=np.float32).reshape(1, 64, 64, 3)
    features = backbone.predict(ramp, verbose=0).mean(axis=(0, 1, 2))
    assert features.mean() == pytest.approx(0.06359, rel=0.002)
    np.testing.assert_allclose(features[[872, 974, 462, 2]], [5.888, 4.685, 3.4385, 2.1487], rtol=0.01)


def test_notice_names_every_file_of_weights_with_its_checksum() -> None:
    from lenslet.inference.artifact import sha256_of
    from lenslet.network.backbones import SHIPPED_WEIGHTS

    notice = (SHIPPED_WEIGHTS / "NOTICE.md").read_text(encoding="utf-8")
    files = list(SHIPPED_WEIGHTS.glob("*.h5"))
    assert [file.name for file in files] == ["efficientnet_lite0_notop_float16.weights.h5"]
    for file in files:
        assert f"`{file.name}`" in notice
        assert sha256_of(file.read_bytes()) in notice
        assert file.stat().st_size <= 7.5e6


@pytest.mark.parametrize(("dropout", "hidden_units"), [(0.5, 0), (0.5, 5), (0.0, 0)])
def test_head_drops_channels_in_training_alone(
    dropout: float, hidden_units: int, params: TrainParams
) -> None:
    from lenslet.network.assembly import logits_of

    head = replace(params.head, dropout=dropout, hidden_units=hidden_units)
    network = logits_of(build(replace(params, head=head)))
    many = pictures(16)  # in few pictures, all hidden units that are not zero may be kept twice
    first, second = (network(many, training=True).numpy() for _ in range(2))
    assert bool(np.abs(first - second).max() > 1e-4) == (dropout > 0)
    np.testing.assert_array_equal(network(many, training=False), network(many, training=False))
