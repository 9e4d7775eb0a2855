"""The table of backbones: Keras constructor, scaling of its input, and where its weights come from."""

import os
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from lenslet.config import BackboneParams
from lenslet.inference.errors import InputError
from lenslet.network.batch_norm import rescale_to_he
from lenslet.network.efficientnet_lite import efficientnet_lite
from lenslet.network.keras_file import KerasFileError, check_keras_file, load_keras_file


class WeightsUnavailable(InputError):
    """The wanted initial weights cannot be had; the message says which, and what to do instead."""


def _small_cnn(input_shape: tuple[int | None, ...], include_top: bool, weights: None) -> keras.Model:
    """Three convolutions, to be trained from scratch. Keras's constructors give the signature."""
    image = keras.Input(input_shape)
    features = image
    for filters in (32, 64, 128):
        features = keras.layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu")(features)
    return keras.Model(image, features)


def _minus_one_to_one(image: Any) -> Any:
    return keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="scaling")(image)


def _minus_127_by_128(image: Any) -> Any:
    return keras.layers.Rescaling(1 / 128, offset=-127 / 128, name="scaling")(image)


def _zero_to_one(image: Any) -> Any:
    return keras.layers.Rescaling(1 / 255, name="scaling")(image)


def _imagenet_statistics(image: Any) -> Any:
    """Zero mean and unit variance per channel, by the statistics that Keras's EfficientNetV2B weights expect."""
    mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    scale = [1 / (255 * each) for each in deviation]
    offset = [-center / each for center, each in zip(mean, deviation, strict=True)]
    return keras.layers.Rescaling(scale, offset=offset, name="scaling")(image)


def _caffe(image: Any) -> Any:
    """BGR minus ImageNet's mean colour: what the ResNet50 and VGG16 weights were trained on."""
    blue_green_red = keras.ops.flip(keras.ops.cast(image, "float32"), axis=-1)
    return keras.layers.Rescaling(1.0, offset=[-103.939, -116.779, -123.68], name="scaling")(blue_green_red)


@dataclass(frozen=True)
class Backbone:
    constructor: Callable[..., keras.Model]
    scaling: Callable[[Any], Any]  # uint8 image → what the constructor's weights expect
    imagenet_file: str | None  # what Keras calls its ImageNet weights without the classification layer
    is_downloadable: bool = True  # by Keras, where the file is not in its cache
    shipped_file: str | None = None  # the same weights in this package, for machines without either


SHIPPED_WEIGHTS = Path(__file__).parent / "weights"  # origin and licence: NOTICE.md there


_applications = keras.applications
BACKBONES = {
    "mobilenet_v2": Backbone(
        _applications.MobileNetV2,
        _minus_one_to_one,
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
    ),
    "mobilenet_v2_035": Backbone(
        partial(_applications.MobileNetV2, alpha=0.35),
        _minus_one_to_one,
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5",
    ),
    "mobilenet_v3_small": Backbone(
        partial(_applications.MobileNetV3Small, include_preprocessing=False),
        _minus_one_to_one,
        "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5",
    ),
    "mobilenet_v3_large": Backbone(
        partial(_applications.MobileNetV3Large, include_preprocessing=False),
        _minus_one_to_one,
        "weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5",
    ),
    "efficientnet_v2_b0": Backbone(
        partial(_applications.EfficientNetV2B0, include_preprocessing=False),
        _imagenet_statistics,
        "efficientnetv2-b0_notop.h5",
    ),
    "efficientnet_lite0": Backbone(
        partial(efficientnet_lite, 0),
        _minus_127_by_128,
        "efficientnet_lite0_notop_he.weights.h5",
        is_downloadable=False,
        shipped_file="efficientnet_lite0_notop_float16.weights.h5",
    ),
    "efficientnet_lite1": Backbone(
        partial(efficientnet_lite, 1),
        _minus_127_by_128,
        "efficientnet_lite1_notop_he.weights.h5",
        is_downloadable=False,
    ),
    "resnet50": Backbone(
        _applications.ResNet50, _caffe, "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
    ),
    "vgg16": Backbone(_applications.VGG16, _caffe, "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"),
    "small_cnn": Backbone(_small_cnn, _zero_to_one, imagenet_file=None),
}


def build_backbone(params: BackboneParams) -> keras.Model:
    """The convolutional part of the network with its initial weights, for images of any size.

    `params.weights`: imagenet, none, or the path of a .keras file; a registered model is resolved by the caller.
    Pretrained kernels that BatchNorm follows are brought to He scale, which changes no output.
    Returns: a model float32 (batch, height, width, 3), scaled → feature map (batch, h, w, channels).
    Raises: WeightsUnavailable.
    """
    row = BACKBONES[params.name]
    construct = partial(row.constructor, input_shape=(None, None, 3), include_top=False)
    if params.weights == "imagenet":
        backbone = _with_imagenet_weights(params.name, row, construct)
    else:
        backbone = construct(weights=None)
        if params.weights != "none":
            _copy_weights(Path(params.weights), backbone, params)
    if params.weights != "none":
        rescale_to_he(backbone)
    backbone.name = "backbone"
    return backbone


def require_weights(params: BackboneParams) -> None:
    """Make sure that the initial weights are on this disk: a missing file of ImageNet's is downloaded now.

    Before photos are read, which may take minutes. Raises: WeightsUnavailable.
    """
    if params.weights == "imagenet":
        if not imagenet_weights(BACKBONES[params.name]):
            build_backbone(params)
    elif params.weights != "none" and ":" not in params.weights:  # a registered model is fetched later
        try:
            check_keras_file(Path(params.weights))
        except KerasFileError as error:
            raise _no_weights(params, str(error)) from error


def _with_imagenet_weights(name: str, row: Backbone, construct: Callable[..., keras.Model]) -> keras.Model:
    if not row.imagenet_file:
        raise WeightsUnavailable(
            f"{name} has no ImageNet weights: set train.backbone.weights to none in params.yaml"
        )
    path = imagenet_weights(row)
    if path:
        return _loaded(path, name, construct)
    if row.is_downloadable:
        try:
            with warnings.catch_warnings():
                # "Weights for input shape (224, 224) will be loaded": wanted, they serve every size.
                warnings.filterwarnings("ignore", message="`input_shape` is undefined")
                return construct(weights="imagenet")
        except Exception as error:  # Keras's download raises nothing more specific
            if "URL fetch failure" not in str(error):
                raise
    raise WeightsUnavailable(
        f"the ImageNet weights {row.imagenet_file} are not here and cannot be downloaded: "
        f"put the file into models/ of a folder that KERAS_HOME names, "
        f"or start from weights that come with lenslet: --set train.backbone.name=efficientnet_lite0"
    )


def imagenet_weights(row: Backbone) -> Path | None:
    """The file of a row's ImageNet weights on this disk: in Keras's cache, or in this package; None if in neither."""
    places = (keras_home() / "models", row.imagenet_file), (SHIPPED_WEIGHTS, row.shipped_file)
    return next((folder / file for folder, file in places if file and (folder / file).is_file()), None)


def keras_home() -> Path:
    """The folder of Keras's downloads. Keras ignores a home that it cannot write to, even for reading."""
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    return home if os.access(home, os.W_OK) else Path(tempfile.gettempdir()) / ".keras"


def _loaded(path: Path, name: str, construct: Callable[..., keras.Model]) -> keras.Model:
    backbone = construct(weights=None)
    try:
        backbone.load_weights(path)
        if not all(np.isfinite(weight).all() for weight in backbone.get_weights()):
            raise ValueError("weights that are not finite numbers")
    except Exception as error:  # Keras raises whatever h5py, zipfile and its own loaders do
        raise WeightsUnavailable(f"{path} holds no weights of {name}: remove the file") from error
    return backbone


def _copy_weights(path: Path, backbone: keras.Model, params: BackboneParams) -> None:
    try:
        backbone.set_weights(load_keras_file(path).get_layer("backbone").get_weights())
    except KerasFileError as error:
        raise _no_weights(params, str(error)) from error
    except ValueError as error:  # of other shapes
        reason = (
            "they are of another; name it with --set train.backbone.name, or keep the training.json of their training "
            "beside them"
        )
        raise _no_weights(params, reason) from error


def _no_weights(params: BackboneParams, reason: str) -> WeightsUnavailable:
    return WeightsUnavailable(f"{params.weights} holds no weights for the backbone {params.name}: {reason}")
