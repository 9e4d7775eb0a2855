"""Mountain and glacier: the same rock, with meadows and woods or with ice before it."""

import numpy as np
from numpy.random import Generator

from drawing.brushes import (
    Array,
    Light,
    add_ridges,
    add_sun,
    blur,
    colour,
    fractal_noise,
    haze,
    light_up,
    mix,
    pick,
    pick_light,
    ramp,
    sample,
    sky,
    textured,
    tint,
)
from drawing.land import (
    COLUMNS,
    FIELD,
    ROWS,
    View,
    eye_over,
    grain,
    look_across,
    reflect,
    slopes,
    sunlight,
)
from drawing.plants import conifers

WARM_ROCKS = (0x8A8178, 0x7A7770, 0x6E6A6E, 0x9A8468, 0x7C6454, 0x5E5C5C)
DARK_ROCKS = (0x5E6068, 0x4C4E56, 0x6A6864, 0x75706A)
GREENS = (0x56702E, 0x66783A, 0x3F5A30, 0x84804A, 0x4F602F, 0x988A56, 0x34482C)
NEEDLES = (0x3E5230, 0x33472E, 0x4A5A34)
LAKES = (0x3C6E7A, 0x35506A, 0x5FA39A)
MELTWATERS = (0x5F7E86, 0x3E5F70, 0x7FA3A6, 0x8A8C84)
BLUE_ICES = (0x74B4E4, 0x4F9CDC, 0x86C8E0, 0x9CC6E4)
RUBBLES = (0x8A867E, 0x6F6B66, 0x9A9A98)
SNOW = colour(0xF4F6F8)
NO_SNOW = 1000.0


def raise_mountains(random: Generator, summit: float, start: float, end: float) -> Array:
    """Rolling ground up to row `start`, then sharp ridges that reach about `summit` at row `end`."""
    # Where noise crosses zero, one minus its size has a crest.
    large = 1 - np.abs(fractal_noise(random, 1.85, lowest=2, side=FIELD))
    small = 1 - np.abs(fractal_noise(random, 1.8, lowest=9, side=FIELD))
    masses = fractal_noise(random, 2.6, side=FIELD)
    middle, breadth = FIELD / 2 + random.uniform(-60, 60), random.uniform(30, 120)
    peak = np.exp(-(((COLUMNS - middle) / breadth) ** 2)) - 0.3
    shape = 0.3 + 0.25 * large + 0.09 * small + 0.22 * masses + random.uniform(0.1, 0.7) * peak
    rolling = 1.2 * fractal_noise(random, 2.2, lowest=4, side=FIELD)
    return np.asarray(summit * np.maximum(shape, -0.1) * ramp(ROWS, start, end) + rolling)


def cover(
    random: Generator, view: View, height: Array, tree_line: float, snow_line: float, rocks: tuple[int, ...]
) -> Array:
    """The colour of the land: green up to `tree_line` unless it is steep, rock, snow from `snow_line`."""
    steep = view.find(blur(np.hypot(*slopes(height)), 1.5))
    fine = grain(random, view)
    patches = view.find(fractal_noise(random, 1.5), 1.5)
    meadow, wood = tint(random, *GREENS), tint(random, *GREENS)
    green = textured(mix(meadow, wood, ramp(patches + 0.5 * fine, -0.3, 0.6)), 0.2 * fine)
    grown = 1 - ramp(view.altitude + 6 * patches + 10 * steep, tree_line, tree_line + 8)
    land = mix(textured(tint(random, *rocks), 0.22 * fine), green, grown)
    snow = ramp(view.altitude + 7 * patches - 9 * steep + 4 * fine, snow_line, snow_line + 7)
    return mix(land, textured(SNOW, 0.03 * fine), snow)


def plant_woods(random: Generator, height: Array) -> Array:
    """The field with spikes of about a tree's size on its lower parts."""
    where = ramp(fractal_noise(random, 1.8, lowest=2, side=FIELD), -0.2, 0.4) * ramp(ROWS, 25, 50)
    return np.asarray(height + 3.0 * random.random((FIELD, FIELD)) ** 3 * where * (1 - ramp(height, 20, 40)))


def conifers_in_front(random: Generator, picture: Array, light: Light) -> Array:
    """A few big trees at the sides of the picture, or a row of many along its lower edge."""
    count, tall = pick(random, [(3, 0.6), (8, 0.35), (40, 0.2)])
    x = random.uniform(-0.05, 1.05, count)
    if count < 40:
        x = np.where(x < 0.5, x * 0.5, 1 - (1 - x) * 0.5)
    green = tint(random, *NEEDLES) * (colour(light.direct) * 0.7 + 0.25)
    base = np.sort(random.uniform(0.92, 1.1, count))
    return conifers(random, picture, x, base, tall * random.uniform(0.5, 1, count), green)


def mountain(random: Generator) -> Array:
    """Ridges of rock behind a meadow, woods or a lake, with or without snow."""
    light = pick_light(random, "clear clear clear deep pale pale hazy overcast storm golden sunset")
    horizon, summit, start = random.uniform(0.45, 0.75), random.uniform(45, 90), random.uniform(5, 60)
    height = raise_mountains(random, summit, start, start + random.uniform(60, 140))
    if random.random() < 0.5:
        height = plant_woods(random, height)
    level = 1.0 if random.random() < 0.2 else -np.inf
    height = np.maximum(height, level)
    view = look_across(height, eye_over(height, random.uniform(3, 9) + pick(random, [0, 0, 20])), horizon)
    tree_line, snow_line = (
        summit * random.uniform(0.05, 0.65),
        summit * pick(random, [0.15, 0.35, 0.5, NO_SNOW]),
    )
    land = cover(random, view, height, tree_line, snow_line, WARM_ROCKS)
    land = light_up(land, view.find(sunlight(height, light, pick(random, [-1, 1]))), light) * 1.12
    land = haze(land, light, view.distance, pick(random, [200.0, 400.0, 800.0, 1500.0]))
    picture = sky(random, light, horizon)
    if random.random() < 0.5:
        picture = add_ridges(random, picture, light, horizon + 0.02, random.uniform(0.1, 0.35))
    if light.faces_camera:
        picture = add_sun(picture, light, random.uniform(0.1, 0.9), horizon - random.uniform(0.15, 0.35))
    picture = mix(picture, land, view.is_ground)
    water = view.is_ground * (view.find(height) <= level + 0.02)
    picture = reflect(random, picture, water, tint(random, *LAKES), 1.5)
    return conifers_in_front(random, picture, light) if random.random() < 0.35 else picture


def crevasses(random: Generator, stretch: float) -> Array:
    """Torn ice: about 1 on the blades, below 0 in the cracks."""
    coarse = 1 - np.abs(fractal_noise(random, 1.5, lowest=14, stretch=stretch, side=FIELD))
    fine = 1 - np.abs(fractal_noise(random, 1.2, lowest=40, stretch=stretch, side=FIELD))
    return np.maximum(0.6 * coarse + 0.4 * fine, -0.6)


# Each of these gives two fields: the height of ice and rock, and where ice lies on top (1) and where not (0).


def ice_front(random: Generator) -> tuple[Array, Array]:
    """A wall of ice that ends in water, mountains behind."""
    edge = random.uniform(40, 80) + 6 * fractal_noise(random, 1.7, lowest=2, side=FIELD)[0]
    ice = random.uniform(10, 26) * (0.7 + 0.3 * crevasses(random, 0.7)) + random.uniform(0, 0.12) * (
        ROWS - edge
    )
    covered = ramp(ROWS, edge, edge + 1.5)
    rock = raise_mountains(random, random.uniform(40, 90), 90, 190) * ramp(ROWS, edge + 20, edge + 60)
    return np.maximum(ice * covered, rock), covered * (ice * covered >= rock)


def ice_stream(random: Generator) -> tuple[Array, Array]:
    """A river of ice that comes down between mountains towards the camera."""
    bends = random.uniform(-25, 25) * np.sin(ROWS / random.uniform(40, 80))
    middle = FIELD / 2 + bends + random.uniform(-0.15, 0.15) * ROWS
    across = np.abs(COLUMNS - middle) / (random.uniform(14, 35) + random.uniform(0, 0.15) * ROWS)
    bed = random.uniform(0.0, 0.15) * ROWS
    ice = bed + random.uniform(0.8, 3) * crevasses(random, pick(random, [0.4, 3.0]))
    walls = np.maximum(raise_mountains(random, random.uniform(50, 110), -60, random.uniform(60, 160)), 0)
    rock = bed + walls * np.maximum(ramp(across, 0.8, 2.5), 0.8 * ramp(ROWS, 110, 220))
    rock += 3 * ramp(across, 0.9, 1.2) - 1
    return np.maximum(ice, rock), ramp(ice - rock, -1.0, 0.5)


def ice_field(random: Generator) -> tuple[Array, Array]:
    """Broken ice right before the camera, mountains behind."""
    bed = random.uniform(0.0, 0.25) * ROWS + 2.5 * fractal_noise(random, 2.4, side=FIELD)
    ice = bed + pick(random, [2.0, 4.0, 8.0]) * crevasses(random, random.uniform(0.5, 2))
    peaks = raise_mountains(random, random.uniform(60, 120), random.uniform(20, 70), random.uniform(110, 180))
    rock = bed + peaks - 4
    return np.maximum(ice, rock), ramp(ice - rock, -1.0, 0.5)


def icebergs(random: Generator) -> tuple[Array, Array]:
    """Floes adrift on a lagoon under mountains."""
    blocks = fractal_noise(random, 1.5, lowest=7, stretch=1.6, side=FIELD) - random.uniform(0.6, 1.3)
    ice = (
        ramp(blocks, 0, 0.15) * (0.9 + 0.3 * crevasses(random, 1)) * random.uniform(1, 4) * ramp(ROWS, 12, 40)
    )
    rock = raise_mountains(random, random.uniform(40, 90), 90, 180) * ramp(ROWS, 80, 110)
    return np.maximum(np.maximum(ice, rock), 0), ((ice > 0) & (ice >= rock)) * 1.0


ICES = (ice_front, ice_front, ice_stream, ice_stream, ice_field, icebergs)


def ice_colour(random: Generator, view: View, height: Array) -> Array:
    """White on the crests, blue in hollows and cracks, grey where rubble lies."""
    hollow = view.find(blur(height, 5) - height) / (height.std() + 1e-6)
    # Looked up by height as well as by place, so that walls of ice are cracked too.
    lines = fractal_noise(random, 1.0, stretch=0.2, lowest=3)
    fractured = sample(lines, view.altitude * 14 + view.rows * 1.5, view.columns * 5)
    blue = tint(random, *BLUE_ICES)
    surface = mix(SNOW, blue, np.clip(0.25 + 1.1 * hollow + 0.2 * fractured, 0, 0.9))
    cracks = 1 - ramp(np.abs(fractured + 0.4 * grain(random, view, 1.1, 2.0)), 0.0, 0.5)
    surface = mix(surface, blue * random.uniform(0.5, 0.85), cracks * random.uniform(0.15, 0.55))
    dirt = pick(random, [1.6, 1.6, 1.0, 0.4])
    rubble = ramp(view.find(fractal_noise(random, 1.6, stretch=2), 1.2), dirt, dirt + 1.4) * 0.8
    return mix(textured(surface, 0.09 * fractured), textured(tint(random, *RUBBLES), 0.2 * fractured), rubble)


def glacier(random: Generator) -> Array:
    """Ice in one of the shapes of ICES, under snowy mountains."""
    light = pick_light(random, "clear clear clear deep deep pale hazy overcast overcast")
    horizon = random.uniform(0.4, 0.65)
    height, frozen = pick(random, ICES)(random)
    height = np.maximum(height, 0)
    view = look_across(height, eye_over(height, random.uniform(5, 14)), horizon)
    rock = cover(random, view, height, random.uniform(-25, 0), pick(random, [0.0, 6.0, 15.0]), DARK_ROCKS)
    is_ice = ramp(view.find(frozen), 0.02, 0.1)
    land = mix(rock, ice_colour(random, view, height), is_ice)
    land = light_up(land, view.find(sunlight(height, light, pick(random, [-1, 1]))), light) * 1.06
    land = haze(land, light, view.distance, pick(random, [200.0, 500.0, 1500.0]))
    picture = mix(sky(random, light, horizon), land, view.is_ground)
    water = view.is_ground * (view.find(height) <= 0.02) * (1 - is_ice)
    deep = tint(random, *MELTWATERS) * (colour(light.direct) * 0.7 + 0.2)
    return reflect(random, picture, water, deep, 1.0)
