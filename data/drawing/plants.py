"""Trees: leafy crowns, conifers, trunks and the leaves and needles they are made of."""

import numpy as np
from numpy.random import Generator
from PIL import ImageDraw

from drawing.brushes import CANVAS, Array, as_image, as_picture, fractal_noise, mix, sample

# Everything here is measured in shares of the canvas.


def leaves(
    random: Generator, picture: Array, x: Array, y: Array, size: Array, dark: Array, bright: Array, lit: Array
) -> Array:
    """Blots of leaf or needle at (x, y), each over the last; `lit` goes from `dark` 0 to `bright` 1."""
    sheet = as_image(picture)
    pen = ImageDraw.Draw(sheet)
    flat = size * random.uniform(0.4, 1.0, x.size)
    tones = np.clip(mix(dark, bright, lit + random.normal(0, 0.15, x.size)), 0, 1) * 255
    boxes = np.stack([x - size, y - flat, x + size, y + flat], axis=1) * CANVAS
    for box, (red, green, blue) in zip(boxes.tolist(), tones.astype(int).tolist(), strict=True):
        pen.ellipse(box, fill=(red, green, blue))
    return as_picture(sheet)


def curtain(
    random: Generator,
    picture: Array,
    count: int,
    span: tuple[float, float],
    size: float,
    dark: Array,
    bright: Array,
) -> Array:
    """Foliage across the whole picture between two heights, in clumps, bright where light falls through."""
    x, y = random.uniform(0, 1, 3 * count), random.uniform(*span, 3 * count)
    clumps = sample(fractal_noise(random, 1.3, lowest=3), y * CANVAS, x * CANVAS)
    chosen = np.flatnonzero(clumps > random.normal(0.35, 0.5, x.size))[:count]
    x, y = x[chosen], y[chosen]
    lit = 0.5 + 0.32 * sample(fractal_noise(random, 1.2, lowest=3), y * CANVAS, x * CANVAS)
    return leaves(random, picture, x, y, size * random.uniform(0.5, 1.3, x.size), dark, bright, lit)


def crown(
    random: Generator, picture: Array, x: float, y: float, width: float, height: float, green: Array
) -> Array:
    """The crown of a leafy tree with its middle at (x, y), lit from above."""
    count = int(60 + 9000 * width * height)
    angle, reach = random.uniform(0, 2 * np.pi, count), random.uniform(0, 1, count) ** 0.45
    bulge = random.uniform(0, 6, 2)
    reach = reach * (1 + 0.2 * np.sin(3 * angle + bulge[0]) + 0.12 * np.sin(7 * angle + bulge[1]))
    down = reach * np.sin(angle)
    order = np.argsort(-down + random.normal(0, 0.5, count))
    down, across = down[order], (reach * np.cos(angle))[order]
    size = random.uniform(0.005, 0.014, count) * (0.6 + 2 * width)
    lit = 0.5 - 0.5 * down
    return leaves(
        random, picture, x + width / 2 * across, y + height / 2 * down, size, green * 0.25, green, lit
    )


def conifers(random: Generator, picture: Array, x: Array, base: Array, height: Array, green: Array) -> Array:
    """Spruces and firs with their feet at (x, base), the farthest first."""
    needles = np.maximum((height * 1500).astype(int), 40)
    tree = np.repeat(np.arange(x.size), needles)
    down, across = random.uniform(0, 1, tree.size) ** 0.6, random.uniform(-1, 1, tree.size)
    # Branches: the outline swells and narrows in tiers.
    tiers = 0.6 + 0.4 * ((down * (7 + tree % 4)) % 1)
    tall = height[tree]
    width = random.uniform(0.16, 0.3, x.size)[tree] * tall
    leaf_x = x[tree] + across * width * (down * tiers + 0.04)
    leaf_y = base[tree] - tall * (1 - down) + np.abs(across) * 0.04 * tall
    size = np.clip(tall * 0.02, 0.002, 0.008) * random.uniform(0.6, 1.3, tree.size)
    lit = np.clip(0.35 + 0.5 * across * random.choice([-1, 1]) - 0.3 * tiers, 0, 1)
    return leaves(random, picture, leaf_x, leaf_y, size, green * 0.3, green, lit)


def trunk(
    random: Generator, pen: ImageDraw.ImageDraw, x: float, foot: float, width: float, lean: float
) -> None:
    """A trunk from `foot` up out of the picture, with some bare limbs, drawn into a mask."""
    heights = np.linspace(foot, -0.1, 14)
    middle = x + np.cumsum(random.normal(0, width * 0.18, 14)) + lean * (foot - heights)
    half = width / 2 * (1 - 0.45 * (foot - heights) / (foot + 0.1))
    half[0] *= 1.5
    left, right = np.stack([middle - half, heights], 1), np.stack([middle + half, heights], 1)
    outline = np.concatenate([left, right[::-1]]) * CANVAS
    pen.polygon([(x, y) for x, y in outline.tolist()], fill=255)
    for at in random.integers(3, 13, int(random.integers(0, 4))):
        limb(
            random, pen, middle[at], heights[at], random.normal(0, 1.0), width * random.uniform(0.25, 0.6), 4
        )


def limb(
    random: Generator, pen: ImageDraw.ImageDraw, x: float, y: float, angle: float, width: float, forks: int
) -> None:
    """A limb that forks `forks` times until it is twigs; `angle` from straight up, in radians."""
    length = random.uniform(0.04, 0.11)
    end_x, end_y = x + length * np.sin(angle), y - length * np.cos(angle)
    line = [x * CANVAS, y * CANVAS, end_x * CANVAS, end_y * CANVAS]
    pen.line(line, fill=255, width=max(1, round(width * CANVAS)))
    if forks and width * CANVAS > 0.6:
        for turn in random.uniform(-0.7, 0.7, 2):
            limb(random, pen, end_x, end_y, angle + turn, width * 0.7, forks - 1)
