"""Augmentation of a batch of photos in fine-tuning, so that no two epochs show the same pixels.

A kind of augmentation is a row of `GEOMETRY` or `PIXELS`, under the key of train.augmentation that holds its greatest
strength, 0 for off. Each photo gets a strength of its own. All draws are stateless.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from lenslet.config import AugmentationParams

BLUR_RADIUS = 4  # pixels; a Gaussian of the greatest sigma that is allowed, 2, is 0.04 there


@dataclass(frozen=True)
class Geometry:
    matrix: Callable[[tf.Tensor], tf.Tensor]  # strengths (photos, 2) → (photos, 2, 3)
    usual: float  # greatest strength where RandAugment chooses the row


@dataclass(frozen=True)
class Pixels:
    apply: Callable[
        [tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor
    ]  # images, strengths (photos,), seed → images
    usual: float
    is_signed: bool = False  # strengths from −greatest to greatest; from 0 otherwise


def augment(
    images: tf.Tensor, targets: tf.Tensor, params: AugmentationParams, seed: int, draw: int | tf.Tensor = 0
) -> tuple[tf.Tensor, tf.Tensor]:
    """Change each photo, then blend pairs of photos and their targets (mixup: Zhang et al. 2018).

    Args: uint8 RGB (photos, size, size, 3) and probabilities (photos, classes). The draws depend on `seed` and on
    the number `draw` alone, which may be a tensor.
    Returns: the same shapes and types; targets between 0 and 1 where photos are blended.
    """
    seeds = _seeds(seed, draw)
    changed = _warped(tf.cast(images, tf.float32), params, seeds)
    for key, row in PIXELS.items():
        greatest = getattr(params, key)
        if greatest:
            changed = _with_row(changed, row, greatest, seeds(key))
    for number in range(params.operations):
        changed = _with_random_rows(changed, seeds(f"operation {number}"))
    if params.mixup:
        changed, targets = _mixed(changed, targets, params.mixup, seeds("mixup"))
    return tf.cast(tf.clip_by_value(tf.round(changed), 0, 255), tf.uint8), targets


def for_dataset_size(params: AugmentationParams, photos: int) -> AugmentationParams:
    """`params` for so many training photos: without mixup if they are fewer than `mixup_min_photos`."""
    return params if photos >= params.mixup_min_photos else replace(params, mixup=0.0)


def _seeds(seed: int, draw: int | tf.Tensor) -> Callable[[str], tf.Tensor]:
    """Name → a seed of its own: with the same one, all photos that are flipped would be shifted the same way."""
    base = tf.stack([tf.cast(seed, tf.int64), tf.cast(draw, tf.int64)])
    # By name, so that a new row does not change the draws of the others.
    return lambda name: tf.random.experimental.stateless_fold_in(base, zlib.crc32(name.encode()))


def _uniform(shape: tuple[tf.Tensor | int, ...], seed: tf.Tensor, low: float, high: float) -> tf.Tensor:
    return tf.random.stateless_uniform(tf.stack(shape), seed, low, high)


# Geometry: one warp for all rows, so that a photo is interpolated once.


def _warped(images: tf.Tensor, params: AugmentationParams, seeds: Callable[[str], tf.Tensor]) -> tf.Tensor:
    photos = tf.shape(images)[0]
    matrices = []
    if params.flip != "none":
        signs = tf.sign(_uniform((photos, 2), seeds("flip"), -1, 1))
        matrices.append(_matrix([signs[:, 0], 0, 0], [0, signs[:, 1] if params.flip == "both" else 1, 0]))
    for key, row in GEOMETRY.items():
        greatest = getattr(params, key)
        if greatest:
            matrices.append(row.matrix(_uniform((photos, 2), seeds(key), -greatest, greatest)))
    for matrix in matrices[1:]:
        matrices[0] = _product(matrices[0], matrix)
    return _warp(images, matrices[0]) if matrices else images


def _matrix(*rows: list[tf.Tensor | float]) -> tf.Tensor:
    """Rows of numbers or of tensors (photos,) → (photos, 2, 3)."""
    photos = next(tf.shape(each)[0] for row in rows for each in row if isinstance(each, tf.Tensor))
    columns = [[tf.broadcast_to(tf.cast(each, tf.float32), [photos]) for each in row] for row in rows]
    return tf.stack([tf.stack(row, axis=1) for row in columns], axis=1)


def _product(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    linear = first[:, :, :2] @ second[:, :, :2]
    offset = first[:, :, :2] @ second[:, :, 2:] + first[:, :, 2:]
    return tf.concat([linear, offset], axis=2)


def _warp(images: tf.Tensor, matrices: tf.Tensor) -> tf.Tensor:
    """Each pixel is taken from where its matrix (2, 3) maps it to, both from the centre in sides of the photo.

    Places outside the photo are filled by reflection: black borders would be a clue that no real photo has.
    """
    size = tf.cast(tf.shape(images)[1:3], tf.float32)
    centre = (size - 1) / 2
    offsets = matrices[:, :, 2] * size[::-1] + centre[::-1]
    offsets -= tf.linalg.matvec(matrices[:, :, :2], centre[::-1])
    rows = tf.concat([matrices[:, :, :2], offsets[:, :, tf.newaxis]], axis=2)
    transforms = tf.concat([tf.reshape(rows, [-1, 6]), tf.zeros_like(rows[:, :, 0])], axis=1)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=tf.shape(images)[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )


def _rotation(degrees: tf.Tensor) -> tf.Tensor:
    angle = degrees[:, 0] * (np.pi / 180)
    return _matrix([tf.cos(angle), -tf.sin(angle), 0], [tf.sin(angle), tf.cos(angle), 0])


GEOMETRY = {
    "rotation": Geometry(_rotation, usual=15),
    "shear": Geometry(lambda slopes: _matrix([1, slopes[:, 0], 0], [slopes[:, 1], 1, 0]), usual=0.15),
    "zoom": Geometry(
        lambda changes: _matrix([1 + changes[:, 0], 0, 0], [0, 1 + changes[:, 0], 0]), usual=0.2
    ),
    "shift": Geometry(lambda shares: _matrix([1, 0, shares[:, 0]], [0, 1, shares[:, 1]]), usual=0.1),
}


# Pixels: float32 from 0 to 255, not clipped in between.


def _with_row(images: tf.Tensor, row: Pixels, greatest: float, seed: tf.Tensor) -> tf.Tensor:
    strengths = _uniform((tf.shape(images)[0],), seed, -greatest if row.is_signed else 0.0, greatest)
    return row.apply(images, strengths, seed)


def _per_photo(strengths: tf.Tensor) -> tf.Tensor:
    return strengths[:, tf.newaxis, tf.newaxis, tf.newaxis]


def _contrast(images: tf.Tensor, changes: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    mean = tf.reduce_mean(images, axis=(1, 2), keepdims=True)
    return mean + (images - mean) * (1 + _per_photo(changes))


def _hue(images: tf.Tensor, turns: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Colours rotated about the grey axis, in turns (Rodrigues' formula)."""
    cosine, sine = tf.cos(2 * np.pi * turns), tf.sin(2 * np.pi * turns)
    along, across = (1 - cosine) / 3, sine / np.sqrt(3)
    diagonal, right, left = cosine + along, along - across, along + across
    rows = [[diagonal, right, left], [left, diagonal, right], [right, left, diagonal]]
    matrices = tf.stack([tf.stack(row, axis=1) for row in rows], axis=1)
    return tf.einsum("bhwc,bdc->bhwd", images, matrices)


def _blur(images: tf.Tensor, sigmas: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """A Gaussian filter of sigma in pixels, along one axis after the other."""
    distances = tf.range(-BLUR_RADIUS, BLUR_RADIUS + 1, dtype=tf.float32)
    weights = tf.exp(-(distances**2) / (2 * tf.maximum(sigmas, 1e-3)[:, tf.newaxis] ** 2))
    weights /= tf.reduce_sum(weights, axis=1, keepdims=True)
    for axis in (1, 2):
        paddings = [[BLUR_RADIUS] * 2 if each == axis else [0, 0] for each in range(4)]
        padded, size = tf.pad(images, paddings, "SYMMETRIC"), tf.shape(images)[axis]
        shifted = [tf.gather(padded, tf.range(size) + number, axis=axis) for number in range(len(distances))]
        images = tf.add_n([_per_photo(weights[:, number]) * each for number, each in enumerate(shifted)])
    return images


def _noise(images: tf.Tensor, shares: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    noise = tf.random.stateless_normal(tf.shape(images), tf.random.experimental.stateless_fold_in(seed, 1))
    return images + 255 * _per_photo(shares) * noise


def _jpeg(images: tf.Tensor, losses: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Compressed and decoded again at quality 100 × (1 − loss)."""
    qualities = tf.clip_by_value(tf.cast(tf.round(100 * (1 - losses)), tf.int32), 1, 100)
    pixels = tf.cast(tf.clip_by_value(tf.round(images), 0, 255), tf.uint8)

    def compressed(photo: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        return tf.ensure_shape(tf.image.adjust_jpeg_quality(photo[0], photo[1]), photo[0].shape)

    return tf.cast(tf.map_fn(compressed, (pixels, qualities), fn_output_signature=tf.uint8), tf.float32)


def _cutout(images: tf.Tensor, sides: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """A grey square anywhere (DeVries and Taylor 2017), its side as a share of the photo's."""
    photos, size = tf.shape(images)[0], tf.shape(images)[1]
    centres = _uniform((photos, 2), tf.random.experimental.stateless_fold_in(seed, 1), 0, 1)
    places = (tf.cast(tf.range(size), tf.float32) + 0.5) / tf.cast(size, tf.float32)
    inside = tf.abs(places - centres[:, :, tf.newaxis]) < sides[:, tf.newaxis, tf.newaxis] / 2
    square = inside[:, 0, :, tf.newaxis] & inside[:, 1, tf.newaxis, :]
    return tf.where(square[..., tf.newaxis], 127.0, images)


PIXELS = {
    "contrast": Pixels(_contrast, usual=0.4, is_signed=True),
    "brightness": Pixels(
        lambda images, shares, seed: images + 255 * _per_photo(shares), usual=0.2, is_signed=True
    ),
    "hue": Pixels(_hue, usual=0.05, is_signed=True),
    "blur": Pixels(_blur, usual=1.5),
    "noise": Pixels(_noise, usual=0.1),
    "jpeg": Pixels(_jpeg, usual=0.8),
    "cutout": Pixels(_cutout, usual=0.3),
}


def _with_random_rows(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Each photo with one row, drawn from all, up to its usual strength (RandAugment: Cubuk et al. 2020)."""
    photos = tf.shape(images)[0]
    rows = [_random_warp(row) for row in GEOMETRY.values()]
    rows += [_random_pixels(row) for row in PIXELS.values()]
    chosen = tf.random.stateless_uniform([photos], seed, 0, len(rows), tf.int32)

    def changed(photo: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> tf.Tensor:
        image, row, number = photo
        own_seed = tf.random.experimental.stateless_fold_in(seed, number + 1)
        branches = [lambda each=each: each(image[tf.newaxis], own_seed)[0] for each in rows]
        return tf.ensure_shape(tf.switch_case(row, branches), image.shape)

    return tf.map_fn(changed, (images, chosen, tf.range(photos)), fn_output_signature=tf.float32)


def _random_warp(row: Geometry) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    return lambda images, seed: _warp(images, row.matrix(_uniform((1, 2), seed, -row.usual, row.usual)))


def _random_pixels(row: Pixels) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    return lambda images, seed: _with_row(images, row, row.usual, seed)


def _mixed(
    images: tf.Tensor, targets: tf.Tensor, alpha: float, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Each photo blended with another of the batch; the share is drawn from Beta(alpha, alpha)."""
    photos, fold_in = tf.shape(images)[0], tf.random.experimental.stateless_fold_in
    one, other = tf.unstack(tf.random.stateless_gamma(tf.stack([2, photos]), fold_in(seed, 1), alpha))
    # Of a small alpha, both draws may be too small for float32.
    share = tf.where(one + other > 0, one / tf.maximum(one + other, 1e-38), 1.0)
    order = tf.random.experimental.stateless_shuffle(tf.range(photos), fold_in(seed, 2))
    blended = _per_photo(share) * images + _per_photo(1 - share) * tf.gather(images, order)
    weights = tf.cast(share[:, tf.newaxis], targets.dtype)
    return blended, weights * targets + (1 - weights) * tf.gather(targets, order)
