"""The brushes every scene is painted with: noise, colour, light, sky, air and the camera."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

# Pixels a side while drawing: twice the finished side, so that shrinking smooths every edge.
CANVAS = 300
FINISHED = 150

# A layer is (CANVAS, CANVAS), a picture (CANVAS, CANVAS, 3), a colour (3,), all about 0…1. Always float64:
# the last bit may differ between processors, and in float32 that would now and then show in a pixel.
Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Option = TypeVar("Option")

X: Array = np.tile((np.arange(CANVAS) + 0.5) / CANVAS, (CANVAS, 1))
Y: Array = X.T


def pick(random: Generator, options: Sequence[Option]) -> Option:
    """One of the options; one that stands there twice comes twice as often."""
    return options[int(random.integers(len(options)))]


def colour(code: int) -> Array:
    """A colour written 0xRRGGBB."""
    return np.array([code >> 16, code >> 8 & 255, code & 255], dtype=np.float64) / 255


def tint(random: Generator, *codes: int, amount: float = 0.07) -> Array:
    """A colour close to one of those given: mostly its brightness moves, its hue a little."""
    near = colour(pick(random, codes)) * random.normal(1, amount) * random.normal(1, amount / 3, 3)
    return np.asarray(np.clip(near, 0, 1))


def ramp(values: Array, low: float | Array, high: float | Array) -> Array:
    """0 up to `low`, 1 from `high`, smooth between."""
    share: Array = np.clip((values - low) / (high - low), 0, 1)
    return share * share * (3 - 2 * share)


def mix(below: Array, above: Array, share: Array | Mask | float) -> Array:
    """Two pictures or colours blended: all `below` where `share` is 0, all `above` where it is 1."""
    weight: Array = np.asarray(share, dtype=np.float64)[..., None]
    return below + (above - below) * weight


def textured(tone: Array, *noises: Array) -> Array:
    """A colour made brighter and darker by layers of noise around 0."""
    brightness: Array = 1 + np.sum(noises, axis=0)
    return tone * brightness[..., None]


def fractal_noise(
    random: Generator, steepness: float = 1.8, *, lowest: float = 1, stretch: float = 1, side: int = CANVAS
) -> Array:
    """Noise that is alike at all scales, as clouds, rock and bark are: mean 0, deviation 1; it tiles.

    Amplitude falls as frequency to the power `steepness`: 1 is rough, 2.2 rolling. No wave is longer than
    side / `lowest`. A `stretch` above 1 draws it out sideways, below 1 upwards.
    """
    upward = np.fft.fftfreq(side)[:, None] * side / stretch**0.5
    sideways = np.fft.rfftfreq(side)[None] * side * stretch**0.5
    frequency = np.hypot(upward, sideways)
    amplitude = np.where(frequency >= lowest, np.maximum(frequency, 0.5) ** -steepness, 0)
    waves = np.fft.rfft2(random.standard_normal((side, side))) * amplitude
    noise: Array = np.fft.irfft2(waves, s=(side, side))
    return np.asarray((noise - noise.mean()) / noise.std())


def sample(texture: Array, rows: Array, columns: Array) -> Array:
    """Values of a tiling layer between its pixels, bilinear."""
    height, width = texture.shape
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    down, right = rows - top, columns - left
    top, bottom, left, end = top % height, (top + 1) % height, left % width, (left + 1) % width
    above = texture[top, left] * (1 - right) + texture[top, end] * right
    below = texture[bottom, left] * (1 - right) + texture[bottom, end] * right
    return np.asarray(above * (1 - down) + below * down)


def blur(picture: Array, radius: float) -> Array:
    """Gaussian blur of a layer or picture that tiles; `radius` in pixels."""
    layers = picture.reshape(*picture.shape[:2], -1)
    upward, sideways = np.fft.fftfreq(layers.shape[0])[:, None], np.fft.rfftfreq(layers.shape[1])[None]
    falloff = np.exp(-2 * (np.pi * radius) ** 2 * (upward**2 + sideways**2))
    waves = np.fft.rfft2(layers, axes=(0, 1)) * falloff[..., None]
    return np.asarray(np.fft.irfft2(waves, s=layers.shape[:2], axes=(0, 1))).reshape(picture.shape)


def as_image(picture: Array) -> Image.Image:
    """The picture as Pillow draws on it."""
    return Image.fromarray(np.uint8(np.clip(picture, 0, 1) * 255 + 0.5))


def as_picture(image: Image.Image) -> Array:
    """A Pillow image ("RGB" or, for a mask, "L") as a picture or layer."""
    return np.asarray(image, dtype=np.float64) / 255.0


def ink(tone: Array) -> tuple[int, ...]:
    """A colour as Pillow's pen takes it."""
    return tuple(int(channel) for channel in np.clip(tone, 0, 1) * 255)


@dataclass(frozen=True)
class Light:
    """A time of day as 0xRRGGBB colours; `sun` is the tangent of the sun's height above the horizon."""

    zenith: int
    horizon: int
    direct: int
    shade: int
    cloud: int
    cloud_shadow: int
    sun: float

    @property
    def faces_camera(self) -> bool:
        return self.sun < 0.2

    @property
    def is_dusk(self) -> bool:
        return self is LIGHTS["dusk"]


LIGHTS = {
    "clear": Light(0x1F55A8, 0x9CC4EA, 0xFFF6E4, 0x46597A, 0xFFFFFF, 0xB4BFCC, 0.75),
    "deep": Light(0x0F3278, 0x5E93D2, 0xFFF8EC, 0x344A74, 0xFFFFFF, 0xAAB6C8, 0.6),
    "pale": Light(0x7FA8D2, 0xD8E4EC, 0xFFF4E0, 0x66727F, 0xFAFAF8, 0xC2C8CF, 0.6),
    "hazy": Light(0xA9BBCB, 0xE3E3DD, 0xF4E8D2, 0x737A80, 0xEDEDE9, 0xC6CACC, 0.5),
    "overcast": Light(0x9CA5AD, 0xD9DDDF, 0xC9CBCB, 0x868C92, 0xE6E9EA, 0x9FA7AE, 1.5),
    "storm": Light(0x4C5661, 0x9AA4AB, 0xA9ABA6, 0x565E66, 0xA9B2B8, 0x4B545D, 0.9),
    "golden": Light(0x4E7DBB, 0xF1D3A0, 0xFFCB86, 0x55597A, 0xFFE6C4, 0x9A93A6, 0.35),
    "sunset": Light(0x4A4E80, 0xF79A55, 0xFF9A58, 0x3C3852, 0xF9A777, 0x54486A, 0.16),
    "dusk": Light(0x24335F, 0xC08E94, 0x8E7F9F, 0x343A5A, 0xA98A9E, 0x3F4367, 0.25),
}


def pick_light(random: Generator, names: str) -> Light:
    """One of the rows of LIGHTS named, with blanks between."""
    return LIGHTS[pick(random, names.split())]


# Steepness of the noise, its stretch sideways, where cover begins and where it is full (in deviations).
CLOUDS = {
    "none": (2.0, 1.0, 9.0, 10.0),
    "wisps": (1.5, 3.5, 0.2, 3.0),
    "heaps": (1.75, 1.5, 0.0, 0.7),
    "few": (1.7, 2.0, 0.9, 1.8),
    "bank": (1.9, 2.5, -0.6, 0.6),
}


def sky(random: Generator, light: Light, horizon: float) -> Array:
    """A canvas full of sky, with one kind of CLOUDS; `horizon`: share of the canvas above it."""
    height = (horizon - Y) / max(horizon, 0.35)
    fade = np.clip(height, 0, 1) ** random.uniform(0.5, 0.9)
    picture = mix(colour(light.horizon), colour(light.zenith), fade)
    steepness, stretch, low, high = CLOUDS[pick(random, list(CLOUDS))]
    noise = fractal_noise(random, steepness, lowest=2, stretch=stretch)
    # Clouds hang under a ceiling: towards the horizon they shrink and crowd.
    ceiling = 1 / (np.abs(height) + 0.3)
    rows, columns = 120 * ceiling, 150 * (X - 0.5) * ceiling
    density = sample(noise, rows, columns)
    towards_sun = sample(noise, rows + 6, columns + random.uniform(-6, 6))
    lit = np.clip(0.7 + 0.9 * towards_sun - 1.15 * density, 0, 1)
    clouds = mix(colour(light.cloud_shadow), colour(light.cloud), lit)
    return mix(picture, clouds, ramp(density, low, high) * random.uniform(0.75, 1))


def add_sun(picture: Array, light: Light, x: float, y: float) -> Array:
    """The sun's disc and the glow around it."""
    away = np.hypot(X - x, (Y - y) * 1.1)
    glow = 0.55 * np.exp(-away / 0.07) + 0.4 * np.exp(-away / 0.25)
    return mix(picture + textured(colour(light.direct), glow - 1), np.ones(3), 1 - ramp(away, 0.02, 0.036))


def add_ridges(random: Generator, picture: Array, light: Light, base: float, height: float) -> Array:
    """Ranges of hills one behind another, the farther the paler, their feet at `base`."""
    count = int(random.integers(1, 5))
    air = mix(colour(light.horizon), colour(light.zenith), 0.4)
    ground = mix(colour(light.shade) * 0.8, colour(light.direct) * 0.3, random.uniform(0, 0.5))
    for nearness in (np.arange(count) + random.uniform(0.3, 0.8)) / count:
        line = fractal_noise(random, random.uniform(1.5, 2.0), side=2 * CANVAS)[0, :CANVAS]
        top = base - height * (1 - 0.75 * nearness) * (0.55 + 0.25 * line)
        shade = textured(mix(air, ground, 0.15 + 0.6 * nearness), 0.06 - 0.12 * ramp(Y, base - height, base))
        picture = mix(picture, shade, ramp(Y, top, top + 0.008))
    return picture


def haze(picture: Array, light: Light, distance: Array, visibility: float) -> Array:
    """The picture behind air: with distance everything fades to the colour of the horizon."""
    air = mix(colour(light.horizon), colour(light.zenith), 0.25) * 0.95
    return mix(picture, air, 1 - np.exp(-distance / visibility))


def light_up(albedo: Array, direct: Array | float, light: Light, bounce: float = 0.0) -> Array:
    """A surface under the light: shade everywhere, sun where `direct` is 1.

    `bounce`: share of the shade that is no skylight but comes back from sunlit walls and pavements.
    """
    shade = mix(colour(light.shade) * 0.9, colour(light.direct) * 0.5, bounce)
    return albedo * mix(shade, colour(light.direct) * 1.15, direct)


def photograph(random: Generator, picture: Array) -> Image.Image:
    """The picture as a camera delivers it: balance, exposure, contrast, lens, sharpening, size and noise.

    One in twenty is black and white.
    """
    warmth = random.normal(0, 0.025)
    balance = np.array([1 + warmth, 1, 1 - warmth]) * random.normal(1, 0.008, 3)
    exposed = np.clip(picture, 0, 1.2) * balance * random.uniform(0.95, 1.2)
    middle = 0.3 + 0.3 * exposed.mean()
    exposed = middle + (exposed - middle) * random.uniform(0.9, 1.3)
    grey = np.repeat(exposed.mean(axis=2, keepdims=True), 3, axis=2)
    exposed = mix(grey, exposed, 0.0 if random.random() < 0.05 else random.uniform(0.75, 1.3))
    vignette = -random.uniform(0, 0.35) * ((X - 0.5) ** 2 + (Y - 0.5) ** 2)
    exposed = blur(textured(exposed, vignette), pick(random, [0.2, 0.4, 0.8]))
    exposed = exposed + random.uniform(0.2, 0.9) * (exposed - blur(exposed, 2.0))
    small = as_picture(as_image(exposed).resize((FINISHED, FINISHED), Image.Resampling.BOX))
    shared, own = random.standard_normal((FINISHED, FINISHED, 1)), random.standard_normal(small.shape)
    return as_image(small + (shared + 0.4 * own) * random.uniform(0.002, 0.012))
