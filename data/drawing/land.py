"""Height fields and how a camera sees them: mountains, ice, waves and beaches are all made of these."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from drawing.brushes import CANVAS, Array, Light, X, Y, fractal_noise, mix, ramp, sample

# A height field is (FIELD, FIELD) and tiles; heights have the unit of its pixels. The camera stands at row 0
# in the middle column and looks along growing rows.
FIELD = 512
NEAREST, FARTHEST, STEPS = 5.0, 300.0, 700
FOCAL = 1.2

COLUMNS: Array = np.tile(np.arange(FIELD, dtype=np.float64), (FIELD, 1))
ROWS: Array = COLUMNS.T


@dataclass(frozen=True)
class View:
    """For each pixel of the canvas: is it ground (1) or sky (0), how far, where in the field, how high."""

    is_ground: Array
    distance: Array
    rows: Array
    columns: Array
    altitude: Array

    def find(self, field: Array, scale: float = 1.0) -> Array:
        """A layer of the ground as the camera sees it; `scale` above 1 lays it out finer."""
        return sample(field, self.rows * scale, self.columns * scale)


def eye_over(height: Array, above: float) -> float:
    """Where the eye is, `above` the ground it stands on."""
    middle = FIELD // 2
    return float(height[:8, middle - 4 : middle + 4].max()) + above


def look_across(height: Array, eye: float, horizon: float) -> View:
    """Follow every pixel's ray from the eye to the first ground; `horizon`: share of the canvas above it."""
    steps = np.geomspace(NEAREST, FARTHEST, STEPS)
    sideways = (X[0] - 0.5) / FOCAL
    rows = np.repeat(steps[:, None], CANVAS, axis=1)
    tops = horizon + FOCAL * (eye - sample(height, rows, FIELD / 2 + rows * sideways)) / rows
    # Up a column of pixels, what is seen is the first step that reaches above all nearer ones.
    skyline = np.minimum.accumulate(tops, axis=0)
    first = np.stack([np.searchsorted(-skyline[:, i], -Y[:, i]) for i in range(CANVAS)], axis=1)
    here, before = np.minimum(first, STEPS - 1), np.clip(first - 1, 0, STEPS - 1)
    column = np.arange(CANVAS)
    gap = np.maximum(skyline[before, column] - skyline[here, column], 1e-9)
    distance = steps[before] + np.clip((skyline[before, column] - Y) / gap, 0, 1) * (
        steps[here] - steps[before]
    )
    altitude = eye - (Y - horizon) * distance / FOCAL
    return View((first < STEPS) * 1.0, distance, distance, FIELD / 2 + distance * sideways, altitude)


def slopes(height: Array) -> tuple[Array, Array]:
    """Rise along rows and along columns."""
    along_rows = (np.roll(height, -1, 0) - np.roll(height, 1, 0)) / 2
    return along_rows, (np.roll(height, -1, 1) - np.roll(height, 1, 1)) / 2


def sunlight(height: Array, light: Light, side: int, front: float = -0.3) -> Array:
    """Direct light on the ground, 0…1, with cast shadows.

    The sun stands left (`side` -1) or right (1), and ahead of the camera where `front` is above 0.
    """
    along_rows, along_columns = slopes(height)
    facing = (light.sun - side * along_columns - front * along_rows) / np.hypot(
        light.sun, np.hypot(side, front)
    )
    direct = np.clip(facing / np.sqrt(1 + along_rows**2 + along_columns**2), 0, 1)
    shadow, lit = np.full(FIELD, -np.inf), np.empty_like(height)
    for column in range(FIELD)[::-side]:
        # The shadow's edge sinks as it leaves what throws it.
        shadow = np.maximum(shadow - light.sun, height[:, column])
        lit[:, column] = 1 - ramp(shadow - height[:, column], 0.0, 1.5)
    return np.asarray(direct * lit)


def grain(random: Generator, view: View, steepness: float = 1.0, scale: float = 4.0) -> Array:
    """Texture of the ground, finer where it is near, so that no distance looks smooth."""
    texture = fractal_noise(random, steepness)
    fine, finer = view.find(texture, scale), view.find(texture, 5 * scale)
    return finer + (fine - finer) * ramp(view.distance, 15, 60)


def reflect(random: Generator, picture: Array, water: Array, deep: Array, ripple: float) -> Array:
    """Water where `water` is 1: the far shore upside down, broken by `ripple`, over the colour `deep`."""
    shore = np.where(water.max(axis=0) > 0.5, (water > 0.5).argmax(axis=0), CANVAS)
    below = np.maximum(Y * CANVAS - shore, 0)
    waves = sample(
        fractal_noise(random, 1.0, lowest=4, stretch=8), 4000 / (below + 12), (X - 0.5) * 6000 / (below + 12)
    )
    mirrored = np.clip(shore - below - ripple * waves * (2 + below * 0.25), 0, CANVAS - 1).astype(int)
    image = picture[mirrored, np.arange(CANVAS)] * 0.92
    return mix(
        picture, mix(image, deep, np.clip(0.25 + 0.5 * below / CANVAS + 0.05 * waves, 0.1, 0.8)), water
    )
