"""Sea: waves, surf and glitter, with a beach, rocks or a headland."""

import numpy as np
from numpy.random import Generator

from drawing.brushes import (
    Array,
    Light,
    X,
    Y,
    add_ridges,
    add_sun,
    colour,
    fractal_noise,
    haze,
    light_up,
    mix,
    pick,
    pick_light,
    ramp,
    sky,
    textured,
    tint,
)
from drawing.land import COLUMNS, FIELD, ROWS, View, eye_over, grain, look_across, slopes, sunlight

WATERS = (0x1F5C80, 0x2E7C94, 0x2A6F6A, 0x3FA7A4, 0x4C6670, 0x24476E)
SANDS = (0xD9C39A, 0xC8AE84, 0xB59A78, 0xE4D6B8)
STONES = (0x5C5048, 0x6A6058, 0x4A4644)
NO_LAND = -9.0

# Each of these gives the ground's height above the water, which begins about `reach` rows from the camera.


def open_sea(random: Generator, reach: float) -> Array:
    """No land at all."""
    return np.full((FIELD, FIELD), NO_LAND)


def beach(random: Generator, reach: float) -> Array:
    """Sand that slopes into the water, straight or aslant."""
    rough = fractal_noise(random, 1.7, lowest=6, side=FIELD)
    aslant = random.uniform(-0.045, 0.045) * (COLUMNS - FIELD / 2)
    return np.asarray((reach - ROWS) * 0.06 + aslant + 0.05 * rough)


def rocks(random: Generator, reach: float) -> Array:
    """Boulders in the foreground."""
    rough = fractal_noise(random, 1.7, lowest=6, side=FIELD)
    return 2.2 * rough + random.uniform(0.5, 2) - ROWS * random.uniform(0.05, 0.12)


def headland(random: Generator, reach: float) -> Array:
    """A cliff that juts out from one side."""
    rough = fractal_noise(random, 1.7, lowest=6, side=FIELD)
    towards_side = pick(random, [-1, 1]) * (COLUMNS - FIELD / 2)
    rising = towards_side * 0.25 - 6 + 10 * ramp(ROWS, 50, 120) - 0.06 * ROWS
    return np.asarray(np.minimum(rising, 12.0) + 3 * rough)


SHORES = (open_sea, beach, beach, beach, rocks, headland)


def water_colour(random: Generator, view: View, swell: Array, light: Light) -> Array:
    """The sky mirrored on the far sides of the waves, the water's own colour on the near sides."""
    rise, _ = slopes(swell)
    ripples = view.find(fractal_noise(random, 1.0, stretch=3, lowest=6), 6)
    tilt = (view.find(rise) / (rise.std() + 1e-6) + 0.8 * ripples) / (1 + view.distance / 120)
    deep = tint(random, *WATERS, amount=0.1) * mix(colour(light.shade), colour(light.direct), 0.65) * 1.15
    mirrored = mix(colour(light.horizon), colour(light.zenith), 0.45)
    return mix(deep, mirrored, np.clip(0.25 + 0.4 * ramp(view.distance, 10, 250) + 0.16 * tilt, 0, 1))


def foam(random: Generator, view: View, swell: Array, reach: float, roughness: float) -> Array:
    """Where the water is white: surf off the shore, its edge on the sand, caps on the highest waves."""
    lace = grain(random, view, 1.2, 2.5)
    wobble = view.find(fractal_noise(random, 1.8, lowest=2, stretch=3), 2)
    offshore = view.rows - reach + 2.0 * wobble
    white = ramp(view.find(swell) / swell.std() + 0.4 * lace, 2.6 - roughness, 3.4 - roughness)
    for line in np.cumsum(random.uniform(2, 9, int(random.integers(1, 5)))):
        surf = np.exp(-(((offshore - line) / random.uniform(0.5, 1.8)) ** 2))
        white = np.maximum(white, ramp(surf * ramp(wobble + 0.5 * lace, -1.2, 0.4) + 0.25 * lace, 0.4, 0.8))
    white = np.maximum(white, ramp(0.5 * lace - np.abs(offshore) * 1.2, -0.9, 0.1))
    return np.asarray(white * (offshore > -0.7) * (1 - ramp(view.distance, 100, 220)))


def glitter(random: Generator, picture: Array, view: View, light: Light, x: float) -> Array:
    """The sun's road on the water, below the point `x` of the horizon."""
    sparkle = grain(random, view, 0.8, 3.0) * (1 - ramp(view.distance, 120, 260))
    road = np.exp(-(((X - x) / (0.04 + 0.35 * np.maximum(Y - 0.4, 0))) ** 2))
    return picture + mix(
        np.zeros(3), colour(light.direct) * 0.85, road * ramp(sparkle + 1.2 * road, 0.2, 1.6)
    )


def shore_colour(random: Generator, view: View, ground: Array) -> Array:
    """Sand, darker where it is wet, and stone where the ground is steep."""
    fine = grain(random, view)
    sand = textured(tint(random, *SANDS), 0.05 * fine, -0.45 * (1 - ramp(view.altitude, 0.1, 0.6)))
    stone = textured(tint(random, *STONES), 0.3 * fine)
    return mix(sand, stone, ramp(view.find(np.hypot(*slopes(ground))), 0.12, 0.25))


def sea(random: Generator) -> Array:
    """Water to the horizon, calm or breaking, by day or against the sun, off one of the SHORES."""
    light = pick_light(random, "clear clear deep pale hazy overcast storm golden sunset sunset dusk")
    horizon, reach = random.uniform(0.25, 0.65), random.uniform(14, 30)
    roughness = pick(random, [0.0, 0.3, 1.0, 1.6])
    swell = fractal_noise(random, 1.5, lowest=10, stretch=random.uniform(3, 9), side=FIELD)
    swell *= 0.06 + 0.35 * roughness
    ground = pick(random, SHORES)(random, reach)
    height = np.maximum(ground, swell * ramp(ROWS, reach, reach + 15))
    view = look_across(height, max(eye_over(height, 0), 0) + random.uniform(4, 9), horizon)
    white = foam(random, view, swell, reach, roughness)
    surface = water_colour(random, view, swell, light)
    surface = mix(surface, mix(colour(light.shade) + 0.25, colour(light.direct), 0.7), white)
    picture = sky(random, light, horizon)
    if random.random() < 0.3:
        picture = add_ridges(random, picture, light, horizon + 0.005, random.uniform(0.02, 0.12))
    faces_sun = light.faces_camera or random.random() < 0.15
    if faces_sun:
        x = random.uniform(0.15, 0.85)
        picture = add_sun(picture, light, x, horizon - random.uniform(0.0, 0.25))
        surface = glitter(random, surface, view, light, x)
    direct = view.find(sunlight(height, light, pick(random, [-1, 1]), 0.8 if faces_sun else -0.3))
    shore = light_up(shore_colour(random, view, ground), direct, light)
    is_shore = (
        view.is_ground * ramp(view.find(ground - swell), -0.05, 0.1) * (1 - white * (view.altitude < 0.25))
    )
    land = haze(mix(surface, shore, is_shore), light, view.distance, pick(random, [300.0, 900.0, 3000.0]))
    # Beyond what the camera can follow it is still sea, up to the level line of the horizon.
    return mix(picture, land, np.maximum(view.is_ground, ramp(Y, horizon, horizon + 0.004)))
