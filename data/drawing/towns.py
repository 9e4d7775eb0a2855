"""Buildings and street: houses seen as such, or along a roadway."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from drawing.brushes import (
    Array,
    Light,
    X,
    Y,
    fractal_noise,
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
from drawing.houses import HIGH_RISE, OLD_TOWN, Camera, House, Style, build, rectangle
from drawing.traffic import CAR, LAMP, TREE, WALKER, furnish

GROUNDS = (0x8A8782, 0x6E6C6A, 0xA49C90, 0x5E7040)
ASPHALTS = (0x6A6A6C, 0x58585A, 0x7C7A76)
COBBLES = (0x8A8074, 0x77726C, 0x9A8A74)
PAVEMENTS = (0xA8A298, 0x98928A, 0xB4A894)
LANE_MARKS = (0xE8E6DE, 0xE8E6DE, 0xE0B840)


def one_house(random: Generator) -> tuple[Camera, list[House]]:
    """A single building, corner first or nearly flat on."""
    camera = Camera(
        random.uniform(1.6, 8), random.uniform(0.7, 0.95), random.uniform(0, 0.12), random.uniform(0.9, 1.5)
    )
    turn = pick(random, [random.uniform(-0.12, 0.12), random.uniform(0.4, 1.1), random.uniform(-0.6, -0.3)])
    width, height = random.uniform(16, 45), random.uniform(9, 32)
    is_old = height < 20 and random.random() < 0.7
    plan = rectangle(
        -width * random.uniform(0.35, 0.65), random.uniform(20, 40), width, random.uniform(12, 40), turn
    )
    roof = random.uniform(2, 5) if is_old and random.random() < 0.6 else 0.0
    style = pick(random, OLD_TOWN if is_old else HIGH_RISE)
    return camera, [House(plan, height, style, random.uniform(3, 4.5), roof, random.random() < 0.3)]


def tower(random: Generator, plan: Array, height: float) -> list[House]:
    """A high-rise, half of them with a narrower top."""
    style, floor = pick(random, HIGH_RISE), random.uniform(3.5, 5.5)
    middle = plan.mean(axis=0)
    top = middle + (plan - middle) * random.uniform(0.3, 0.8)
    crest = [House(top, height * random.uniform(1.03, 1.25), style, floor)] if random.random() < 0.5 else []
    return [*crest, House(plan, height, style, floor)]


def looking_up(random: Generator) -> tuple[Camera, list[House]]:
    """Towers from their foot, the uprights running together."""
    camera = Camera(1.7, random.uniform(0.75, 1.0), random.uniform(0.25, 0.6), random.uniform(0.8, 1.1))
    houses: list[House] = []
    # The first stands before the camera, the others where they happen to.
    for left, right in [(-20, 0)] + [(-45, 25)] * int(random.integers(0, 4)):
        x, ahead, turn = random.uniform(left, right), random.uniform(25, 60), random.uniform(-0.7, 0.7)
        houses += tower(
            random, rectangle(x, ahead, random.uniform(16, 30), 25, turn), random.uniform(50, 140)
        )
    return camera, houses


def skyline(random: Generator) -> tuple[Camera, list[House]]:
    """Many towers from afar."""
    camera = Camera(random.uniform(2, 40), random.uniform(0.7, 0.9), 0, random.uniform(1.0, 1.8))
    houses: list[House] = []
    for x in random.uniform(-110, 110, int(random.integers(10, 24))):
        plan = rectangle(x, random.uniform(110, 220), random.uniform(12, 30), 20, random.uniform(-0.6, 0.6))
        houses += tower(random, plan, random.uniform(20, 60) * pick(random, [1, 1, 2]))
    return camera, houses


def terrace(random: Generator) -> tuple[Camera, list[House]]:
    """Old fronts side by side."""
    camera = Camera(random.uniform(1.6, 5), random.uniform(0.7, 0.85), 0, random.uniform(0.9, 1.3))
    turn, x = random.uniform(-0.5, 0.5), -random.uniform(26, 32)
    houses: list[House] = []
    while x < 34:
        width, roof = random.uniform(7, 14), pick(random, [0.0, random.uniform(2, 4)])
        plan = rectangle(x, 24 + x * np.sin(turn), width, 12, turn)
        style, floor = pick(random, OLD_TOWN), random.uniform(2.8, 4)
        houses.append(House(plan, random.uniform(8, 16), style, floor, roof, random.random() < 0.5))
        x += width * np.cos(turn)
    return camera, houses


VIEWS = (one_house, one_house, looking_up, looking_up, skyline, terrace)


def lay_ground(random: Generator, picture: Array, level: float, light: Light) -> Array:
    """Paving or lawn below `level`."""
    below = np.maximum(Y - level, 1e-3)
    noise = sample(fractal_noise(random, 1.0), 60 / (below + 0.05), (X - 0.5) * 200 / (below + 0.05))
    ground = light_up(textured(tint(random, *GROUNDS), 0.12 * noise), 0.6, light, 0.3)
    return mix(picture, ground, ramp(Y, level, level + 0.005))


def buildings(random: Generator) -> Array:
    """Fronts and towers against the sky, in one of the VIEWS."""
    light = pick_light(random, "clear clear deep pale pale hazy overcast golden dusk")
    camera, houses = pick(random, VIEWS)(random)
    night = random.uniform(0.1, 0.4) if light.is_dusk else 0.0
    sun, visibility = random.uniform(-1, 1), pick(random, [300.0, 1500.0])
    picture = lay_ground(random, sky(random, light, camera.vanishing), camera.vanishing, light)
    for house in sorted(houses, key=lambda house: -house.distance):
        picture = build(random, picture, camera, house, light, sun, night, visibility)
    if camera.vanishing > 1:
        return picture
    counts = [(kind, int(random.integers(0, 5))) for kind in (CAR, WALKER, LAMP, TREE)]
    return furnish(random, picture, camera, 12, 0.45 if night else 0.95, counts)


@dataclass(frozen=True)
class Street:
    """A kind of street: width and height of its houses in metres, its surface, styles and what is about."""

    width: float
    height: float
    surface: str
    styles: list[Style]
    cars: int
    walkers: int
    trees: int


STREETS = (
    Street(22, 38, "marked", HIGH_RISE, 14, 6, 0),
    Street(26, 18, "marked", OLD_TOWN, 14, 6, 10),
    Street(18, 12, "marked", OLD_TOWN + HIGH_RISE[-2:], 10, 6, 3),
    Street(10, 10, "cobbled", OLD_TOWN, 2, 7, 1),
    Street(6.5, 9, "cobbled", OLD_TOWN, 0, 5, 0),
    Street(24, 6, "plain", OLD_TOWN[:4], 8, 1, 12),
)


def roadway(random: Generator, surface: str, ahead: Array, across: Array, half: float) -> Array:
    """Asphalt, with or without marks, or cobbles, between two pavements; `ahead` and `across` in metres."""
    nearness = 1 / (1 + ahead / 25)
    fine = sample(fractal_noise(random, 0.8), ahead * 60, across * 60) * nearness
    worn = 0.07 * sample(fractal_noise(random, 1.5, stretch=0.2), ahead * 6, across * 12)
    road = textured(tint(random, *ASPHALTS), 0.12 * fine, worn)
    if surface == "cobbled":
        row = np.floor(ahead * 5)
        is_joint = (ahead * 5 - row < 0.18) | ((across + 0.1 * row) * 4 % 1 < 0.18)
        road = textured(tint(random, *COBBLES), 0.2 * fine, -0.35 * is_joint * nearness)
    if surface == "marked":
        is_mark = (np.abs(across) < 0.1) & (ahead % 9 < 4) | (np.abs(np.abs(across) - half * 0.62) < 0.08)
        if random.random() < 0.35:
            is_mark |= (np.abs(ahead - random.uniform(6, 14)) < 1.6) & (across % 1.1 < 0.55)
        road = mix(road, textured(tint(random, *LANE_MARKS), 0.06 * fine), is_mark)
    from_kerb = np.abs(across) - half * 0.72
    road = mix(road, textured(tint(random, *PAVEMENTS), 0.08 * fine), ramp(from_kerb, 0, 0.05))
    return textured(road, -0.4 * (np.abs(from_kerb) < 0.12))


def lay_road(
    random: Generator, picture: Array, camera: Camera, light: Light, half: float, surface: str, sun: float
) -> Array:
    """The roadway in perspective, with the shadow that the houses on the sun's side throw on it."""
    ahead = camera.eye * camera.focal / np.maximum(Y - camera.horizon, 1e-3)
    across = (X - 0.5) * ahead / camera.focal
    edge = half * random.uniform(-1.2, 1.0) + 1.5 * sample(fractal_noise(random, 1.2), ahead * 2, 0 * ahead)
    direct = 0.15 + 0.7 * ramp(across * np.sign(-sun) + edge, -0.3, 0.3)
    road = light_up(roadway(random, surface, ahead, across, half), direct, light, 0.3)
    return mix(picture, road, ramp(Y, camera.horizon, camera.horizon + 0.004))


def line_street(random: Generator, kind: Street, half: float) -> list[House]:
    """House after house along both sides, up to the vanishing point, here and there a gap."""
    houses = []
    for left in (-half - 14, half):
        ahead = 2.5
        while ahead < 130:
            length, height = random.uniform(7, 22), kind.height * random.uniform(0.6, 1.4)
            roof = random.uniform(1.5, 3.5) if kind.height < 14 and random.random() < 0.6 else 0.0
            style, floor = pick(random, kind.styles), random.uniform(3, 4)
            plan = rectangle(left, ahead, 14, length)
            houses.append(House(plan, height, style, floor, roof, random.random() < 0.6))
            ahead += length + (random.uniform(2, 12) if random.random() < 0.15 else 0)
    return houses


def street(random: Generator) -> Array:
    """Along one of the STREETS between its houses, with cars, people, lamps and trees."""
    kind = pick(random, STREETS)
    light = pick_light(random, "clear deep pale pale hazy overcast overcast golden dusk")
    half = kind.width / 2 * random.uniform(0.85, 1.2)
    eye = random.uniform(1.5, 2.6) + (random.uniform(2, 5) if random.random() < 0.2 else 0)
    camera = Camera(eye, random.uniform(0.5, 0.68), 0, random.uniform(0.7, 1.4))
    night = random.uniform(0.3, 0.6) if light.is_dusk else 0.0
    sun = pick(random, [-0.8, 0.8])
    picture = lay_road(random, sky(random, light, camera.horizon), camera, light, half, kind.surface, sun)
    for house in sorted(line_street(random, kind, half), key=lambda house: -house.distance):
        picture = build(random, picture, camera, house, light, sun, night, 400)
    lamps = int(random.integers(0, 5))
    counts = [(CAR, kind.cars), (WALKER, kind.walkers), (LAMP, lamps), (TREE, kind.trees)]
    return furnish(random, picture, camera, half, 0.45 if night else 0.95, counts)
