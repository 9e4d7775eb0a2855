"""Weight decay: what it shrinks, and that no part of the code groups variables in another way."""

from pathlib import Path

import numpy as np
import pytest


@pytest.mark.slow
@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "rmsprop"])
def test_decay_shrinks_kernels_alone(name: str) -> None:
    """Without gradients a step changes a weight by −rate × decay × weight: from 1 to 0.9."""
    import keras

    from lenslet.network.optimizers import build_optimizer

    model = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Conv2D(2, 3, kernel_initializer="ones", bias_initializer="ones"),
            keras.layers.BatchNormalization(beta_initializer="ones"),
        ]
    )
    optimizer = build_optimizer(name, learning_rate=0.5, weight_decay=0.2)
    nothing = [keras.ops.zeros_like(variable) for variable in model.trainable_variables]
    optimizer.apply(nothing, model.trainable_variables)
    kernel, bias, gamma, beta = (variable.numpy() for variable in model.trainable_variables)
    np.testing.assert_allclose(kernel, 0.9, atol=1e-6)
    for untouched in (bias, gamma, beta):
        np.testing.assert_array_equal(untouched, 1)


def test_optimizers_are_built_in_one_place() -> None:
    found = [
        path
        for path in Path("lenslet").rglob("*.py")
        if "optimizers.Adam" in path.read_text(encoding="utf-8")
    ]
    assert found == [Path("lenslet/network/optimizers.py")]
