"""Forest: trunks one behind another in misty air, leaves above and litter below."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw

from drawing.brushes import (
    CANVAS,
    Array,
    X,
    Y,
    as_picture,
    blur,
    fractal_noise,
    mix,
    pick,
    ramp,
    sample,
    textured,
    tint,
)
from drawing.plants import conifers, curtain, trunk

# Leaves in shade and in sun, the air between the trees, ground, bark.
SEASONS = {
    "summer": (0x1C3312, 0x9CC23C, 0xC4D98A, 0x4C5A24, 0x40382C),
    "shade": (0x10220F, 0x5E8A34, 0x8CA86C, 0x33401F, 0x2E2820),
    "spring": (0x2E4A16, 0xB4DC50, 0xDCEBA0, 0x6A8630, 0x4C4436),
    "autumn": (0x4A2A10, 0xE0A038, 0xEBD09A, 0x7A5026, 0x3C2E24),
    "late": (0x3A2A1A, 0xB08048, 0xC4B8A4, 0x6E5236, 0x4A4038),
    "mist": (0x32443C, 0x7C9684, 0xC2CECA, 0x56604C, 0x3E4440),
    "pine": (0x18241A, 0x587050, 0xAEB8A8, 0x5A4A34, 0x5A4232),
}
PATHS = (0x9A8A70, 0x7A6A54, 0xA8A090)


@dataclass(frozen=True)
class Wood:
    """What all trees of one picture share: colours, where the floor begins, how thick the mist is, how dense
    and how aslant the trunks stand."""

    dark: Array
    bright: Array
    air: Array
    ground: Array
    bark: Array
    edge: float
    mist: float
    density: float
    lean: float
    has_conifers: bool

    def veiled(self, tone: Array, nearness: float, share: float = 1.0) -> Array:
        """A colour seen through the mist; `nearness` 0 is far, 1 at the camera."""
        return mix(tone, self.air, share * self.mist * (1 - nearness))


def grow(random: Generator) -> Wood:
    """A wood of one of the SEASONS."""
    dark, bright, air, ground, bark = (tint(random, code) for code in SEASONS[pick(random, list(SEASONS))])
    brightness = random.uniform(0.6, 1.1)
    return Wood(
        dark,
        bright,
        air * brightness,
        ground * brightness,
        bark,
        edge=random.uniform(0.55, 0.85),
        mist=random.uniform(0.5, 0.95),
        density=pick(random, [0.6, 1.0, 1.8]),
        lean=random.normal(0, 0.04),
        has_conifers=random.random() < 0.25,
    )


def distance_glow(random: Generator, wood: Wood) -> Array:
    """What lies behind all trees: blurred leaves and the light of a gap in them."""
    gap = np.hypot((X - random.uniform(0.2, 0.8)) * 1.2, Y - random.uniform(-0.1, 0.5))
    glow = (
        0.45
        + 0.2 * fractal_noise(random, 1.2, stretch=0.5)
        + random.uniform(0.1, 0.6) * ramp(0.55 - gap, 0.0, 0.5)
    )
    return mix(mix(wood.dark, wood.bright, 0.4), wood.air, np.clip(glow, 0, 1))


def lay_floor(random: Generator, picture: Array, wood: Wood) -> Array:
    """Litter, herbs and patches of sun from the wood's edge down, sometimes with a path."""
    below = np.maximum(Y - wood.edge + 0.012 * fractal_noise(random, 2.0, lowest=2), 1e-3)
    rows, columns = 90 / (below + 0.08), (X - 0.5) * 260 / (below + 0.08)
    litter = sample(fractal_noise(random, 0.9), rows * 2, columns * 1.3)
    patches = sample(fractal_noise(random, 1.6), rows, columns * 0.5)
    herbs = textured(mix(wood.dark, wood.bright, 0.6), 0.25 * litter)
    surface = mix(
        textured(wood.ground, 0.3 * litter, 0.15 * patches), herbs, 0.7 * ramp(patches + 0.3 * litter, 0, 1.2)
    )
    if random.random() < 0.25:
        middle = 0.5 + random.uniform(-0.15, 0.15) + random.uniform(-0.6, 0.6) * (1 - Y) ** 2
        trodden = 1 - ramp(np.abs(X - middle) / (0.03 + 0.55 * below), 0.5, 0.8)
        surface = mix(surface, textured(tint(random, *PATHS), 0.12 * litter), trodden)
    sunlit = ramp(sample(fractal_noise(random, 1.4, stretch=4), rows, columns * 0.7), 0.2, 1.0)
    return mix(picture, textured(surface, random.uniform(0.2, 1.0) * sunlit - 0.35), ramp(below, 0.0, 0.03))


def stand_trees(random: Generator, picture: Array, wood: Wood, nearness: float) -> Array:
    """One layer of foliage and trunks; `nearness` 0 is far, 1 at the camera."""
    dark, bright = wood.veiled(wood.dark, nearness, 0.8), wood.veiled(wood.bright, nearness, 0.6)
    foot = wood.edge + 0.02 + (1.1 - wood.edge) * nearness**2.5
    size = 0.003 + 0.005 * nearness
    picture = curtain(
        random, picture, int(3000 * (1.2 - nearness)), (-0.05, wood.edge + 0.05), size, dark, bright
    )
    if wood.has_conifers and nearness < 0.7:
        x, base = random.uniform(-0.05, 1.05, 14), foot + random.uniform(0, 0.04, 14)
        tall = random.uniform(0.4, 0.9, 14) * (0.5 + 0.5 * nearness)
        picture = conifers(random, picture, x, base, tall, bright)
    mask = Image.new("L", (CANVAS, CANVAS))
    for x in random.uniform(-0.05, 1.05, max(1, int(wood.density * (16 * (1 - nearness) ** 1.3 + 2)))):
        width = 0.006 + 0.075 * nearness**2 * random.uniform(0.5, 1.2)
        lean = wood.lean + random.normal(0, 0.03)
        trunk(random, ImageDraw.Draw(mask), x, foot + random.normal(0, 0.015), width, lean)
    shape = as_picture(mask)
    soft = blur(shape, 3)
    # Light comes from one side: the mask's own slope tells which side of a trunk is which.
    roundness = (np.roll(soft, 4, 1) - np.roll(soft, -4, 1)) * pick(random, [-0.5, 0.5])
    furrows = 0.18 * nearness * fractal_noise(random, 1.0, stretch=0.08)
    return mix(
        picture,
        textured(wood.veiled(wood.bark * random.uniform(0.5, 1.2), nearness), furrows, roundness),
        shape,
    )


def add_shafts(random: Generator, picture: Array, wood: Wood) -> Array:
    """Sunbeams that fan out from a gap above."""
    x, y = random.uniform(0, 1), random.uniform(-0.3, 0.1)
    streaks = fractal_noise(random, 1.4, lowest=3)[0]
    beams = ramp(np.interp(np.arctan2(X - x, Y - y), np.linspace(-np.pi, np.pi, CANVAS), streaks), 0.0, 1.5)
    fading = np.exp(-np.hypot(X - x, Y - y) * 1.3) * random.uniform(0.2, 0.5)
    return picture + mix(np.zeros(3), wood.air, beams * fading)


def forest(random: Generator) -> Array:
    """Inside a wood, from bright spring to mist, leafy or dark with conifers."""
    wood = grow(random)
    picture = distance_glow(random, wood)
    layers = int(random.integers(3, 6))
    for layer in range(layers):
        if layer == layers - 2:
            picture = lay_floor(random, picture, wood)
        picture = stand_trees(random, picture, wood, (layer + random.uniform(0.2, 0.8)) / layers)
    if random.random() < 0.7:
        span = (-0.05, random.uniform(0.15, 0.5))
        picture = curtain(
            random, picture, int(random.integers(300, 1500)), span, 0.008, wood.dark, wood.bright
        )
    if random.random() < 0.5:
        span = (random.uniform(0.8, 0.95), 1.05)
        picture = curtain(
            random, picture, int(random.integers(300, 1200)), span, 0.008, wood.dark, wood.bright
        )
    return add_shafts(random, picture, wood) if random.random() < 0.35 else picture
