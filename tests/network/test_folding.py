"""BatchNorm folded into convolutions for training: the same outputs, the same gradients."""

import numpy as np
import pytest

pytestmark = pytest.mark.slow


def backbone_with_statistics(name: str):
    """An untrained backbone with frozen BatchNorm that does something."""
    from lenslet.config import BackboneParams
    from lenslet.network.backbones import build_backbone
    from lenslet.network.batch_norm import normalized_convolutions

    backbone = build_backbone(BackboneParams(name, "none", "all"))
    random = np.random.default_rng(4)
    for convolution, norm in normalized_convolutions(backbone):
        shape = convolution.get_weights()[0].shape
        fan_in = shape[0] * shape[1] * (1 if "depthwise" in convolution.name else shape[2])
        convolution.set_weights([random.normal(0, np.sqrt(2 / fan_in), shape)])
        norm.set_weights([random.uniform(0.8, 1.2, norm.gamma.shape) for _ in range(4)])
        norm.trainable = False
    return backbone


@pytest.mark.parametrize("name", ["mobilenet_v2_035", "efficientnet_lite0"])
def test_folded_network_computes_and_learns_the_same(name: str) -> None:
    import keras

    from lenslet.network.folding import copy_kernels, fold_batch_norm

    backbone = backbone_with_statistics(name)
    reference = keras.models.clone_model(backbone)
    reference.set_weights(backbone.get_weights())
    for layer in reference.layers:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    folded = fold_batch_norm(backbone)
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in folded.layers)

    pixels = np.random.default_rng(1).uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)
    before = backbone.predict(pixels, verbose=0)
    np.testing.assert_allclose(folded.predict(pixels, verbose=0), before, atol=1e-3)
    for model in (reference, folded):
        # A small step: what processors round differently, fifty layers of ReLU6 would amplify after a large one.
        model.compile(optimizer=keras.optimizers.SGD(3e-4), loss="mse")
        model.train_on_batch(pixels, np.full_like(before, 0.5))
    copy_kernels(folded, backbone)
    learned = reference.predict(pixels, verbose=0)
    change = np.abs(learned - before)
    assert change.max() > 0.05
    assert np.abs(backbone.predict(pixels, verbose=0) - learned).max() < 0.02 * change.max()


def test_what_is_not_frozen_or_has_a_bias_is_left_alone() -> None:
    import keras

    from lenslet.network.folding import fold_batch_norm

    image = keras.Input((8, 8, 3))
    trained = keras.layers.BatchNormalization(name="trained")(
        keras.layers.Conv2D(4, 3, use_bias=False)(image)
    )
    biased = keras.layers.BatchNormalization(name="biased", trainable=False)(
        keras.layers.Conv2D(4, 3)(trained)
    )
    folded = fold_batch_norm(keras.Model(image, biased))
    norms = [layer.name for layer in folded.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert norms == ["trained", "biased"]


def test_frozen_convolutions_stay_frozen() -> None:
    from lenslet.network.folding import fold_batch_norm

    backbone = backbone_with_statistics("mobilenet_v2_035")
    for layer in backbone.layers[:-10]:
        layer.trainable = False
    assert len(fold_batch_norm(backbone).trainable_variables) == len(backbone.trainable_variables) > 0
