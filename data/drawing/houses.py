"""Houses: fronts with their windows, and the pinhole camera that stands them up in perspective."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw

from drawing.brushes import (
    CANVAS,
    Array,
    Light,
    as_image,
    as_picture,
    colour,
    fractal_noise,
    light_up,
    mix,
    ramp,
    sample,
    textured,
    tint,
)

# Pixels a side of one window with the wall around it, before perspective.
CELL = 20
SHOP_SIGNS = (0xA02820, 0x1E4C7A, 0x2C5A38, 0xE0D8C8, 0x202020, 0xC89A30)
ROOFS = (0x6A4A3C, 0x54504E, 0x7A4434, 0x3E4248)


@dataclass(frozen=True)
class Camera:
    """Height of the eye in metres, upward tilt in radians; `horizon`: where level lines meet without tilt."""

    eye: float
    horizon: float
    tilt: float = 0.0
    focal: float = 1.0

    @property
    def vanishing(self) -> float:
        """The share of the canvas above the line where level ground ends."""
        return self.horizon + self.focal * float(np.tan(self.tilt))

    def project(self, points: Array) -> Array:
        """(n, 3) points in metres right, up and ahead, as (n, 2) shares of the canvas."""
        right, up, ahead = points[:, 0], points[:, 1] - self.eye, points[:, 2]
        depth = np.maximum(ahead * np.cos(self.tilt) + up * np.sin(self.tilt), 0.05)
        height = up * np.cos(self.tilt) - ahead * np.sin(self.tilt)
        return np.stack(
            [0.5 + self.focal * right / depth, self.horizon - self.focal * height / depth], axis=1
        )


@dataclass(frozen=True)
class Style:
    """A way to build: colours of walls, window frames and glass; size of a window as shares of its cell; how
    strongly ledges part the floors; share of houses with balconies."""

    walls: tuple[int, ...]
    frame: int
    glass: int
    width: float
    height: float
    is_arched: bool = False
    ledges: float = 0.0
    balconies: float = 0.0


STYLES = {
    "curtain": Style((0x55646E, 0x3A4650, 0x8A98A0), 0x4A5560, 0x4F7088, 0.92, 0.86),
    "mirror": Style((0x6F8FA8, 0x4F6F88), 0x5A7080, 0x6FA0C8, 0.95, 0.93),
    "ribbon": Style((0xC4BEB2, 0x9C968C, 0xD8D4CC), 0x606468, 0x3E4C58, 1.0, 0.5),
    "office": Style((0xB8B0A2, 0xA89A86, 0x8E8880, 0xCAC4B8), 0x70706C, 0x38444E, 0.62, 0.6),
    "flats": Style((0xD8D0C4, 0xC0B4A4, 0xE4E0D8), 0x808080, 0x465058, 0.66, 0.66, balconies=0.9),
    "brick": Style((0x8A4632, 0x9C5A40, 0x74402F, 0xA8704E), 0xE6E0D4, 0x30383E, 0.38, 0.56, ledges=0.1),
    "stone": Style((0xCBBFA6, 0xB6A88C, 0xD6CDBB, 0xA8A094), 0xE4DCCB, 0x343A3E, 0.4, 0.62, True, 0.35),
    "classic": Style((0xE0D4B8, 0xD4C4A0, 0xC8BFB0), 0xF0EADC, 0x3C4246, 0.36, 0.66, False, 0.5, 0.3),
    "stucco": Style(
        (0xE2C9A0, 0xD9A88A, 0xC8D0C4, 0xE8DCC4, 0xC05040, 0x7FA0B0), 0xF2EEE4, 0x3A4044, 0.36, 0.5
    ),
}
HIGH_RISE = [STYLES[name] for name in ("curtain", "mirror", "ribbon", "office", "flats", "brick")]
OLD_TOWN = [STYLES[name] for name in ("brick", "stone", "classic", "stucco", "stone", "classic")]


@dataclass(frozen=True)
class House:
    """A building in metres; its ground plan is (4, 2) points right and ahead, counterclockwise from above."""

    plan: Array
    height: float
    style: Style
    floor_height: float = 3.5
    roof: float = 0.0
    has_shop: bool = False

    @property
    def distance(self) -> float:
        return float(np.hypot(*self.plan.mean(axis=0)))


def rectangle(x: float, ahead: float, width: float, depth: float, turn: float = 0.0) -> Array:
    """A ground plan from its near left corner (x, ahead), turned by `turn` radians."""
    corners = np.array([[0, 0], [width, 0], [width, depth], [0, depth]], dtype=float)
    turned = corners @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return np.asarray(turned + np.array([x, ahead]))


def panes(random: Generator, style: Style, floors: int, bays: int, sky: Array, night: float) -> Array:
    """One colour for each window: dark rooms, sky in the glass, blinds, and at night the lamps."""
    size = (floors, bays)
    gleam = np.clip(np.linspace(0.6, 0.1, floors)[:, None] + random.normal(0, 0.15, size), 0, 1)
    glass = mix(tint(random, style.glass, amount=0.1), sky, gleam * random.uniform(0.2, 0.9))
    blinds = mix(colour(0x5C5A54), colour(0xB8B4A8), random.random(size))
    lamps = (
        mix(colour(0xFFB858), colour(0xFFF0C8), random.random(size))
        * random.uniform(1.2, 2.2, size)[..., None]
    )
    glass = mix(glass, blinds, random.random(size) < 0.12)
    return mix(glass, lamps, random.random(size) < night)


def front(random: Generator, house: House, bays: int, floors: int, sky: Array, night: float) -> Array:
    """The colours of a house front seen straight on, CELL pixels a bay and a floor; `night`: lamps lit."""
    style = house.style
    down, along = np.indices((floors * CELL, bays * CELL))
    # Where in its cell a pixel lies, -0.5…0.5.
    y, x = (down % CELL + 0.5) / CELL - 0.5, (along % CELL + 0.5) / CELL - 0.5
    half_width, half_height = style.width / 2, style.height / 2
    stains = fractal_noise(random, 1.3, stretch=0.4)
    dirt = 0.07 * sample(stains, down * 0.9, along * 0.9)
    ledges = style.ledges * (0.5 * (y < -0.4) - 0.6 * ((y > -0.4) & (y < -0.34)))
    wall = textured(tint(random, *style.walls), dirt, ledges)
    is_frame = (np.abs(x) < half_width + 0.07) & (np.abs(y) < half_height + 0.07)
    is_glass = (np.abs(x) < half_width) & (np.abs(y) < half_height)
    if style.is_arched:
        is_glass &= (y > half_width - half_height) | (np.hypot(x, y + half_height - half_width) < half_width)
    if style.width < 0.7:
        is_glass &= (np.abs(x) > 0.03) & (np.abs(y + 0.1) > 0.03)
    wall = mix(wall, textured(colour(style.frame), dirt), is_frame)
    # Glass mirrors unevenly, and the wall above throws a shadow on it.
    glass = panes(random, style, floors, bays, sky, night)[down // CELL, along // CELL]
    uneven = 0.18 * sample(stains, down * 0.3 + 80, along * 0.3)
    wall = mix(wall, textured(glass, uneven, -0.35 * (y < 0.1 - half_height)), is_glass)
    if random.random() < style.balconies:
        is_rail = (y > 0.2) & (np.abs(x) < half_width + 0.1) & (along // CELL % random.integers(1, 3) == 0)
        wall = mix(wall, textured(tint(random, *style.walls), -0.1 - 0.4 * (y > 0.42)), is_rail)
    if house.has_shop:
        wall[-CELL:] = shops(random, style, bays)
    # A parapet that catches the light and throws a line of shadow.
    return textured(wall, 0.12 * (down < 5) - 0.3 * ((down >= 5) & (down < 7)))


def shops(random: Generator, style: Style, bays: int) -> Array:
    """A ground floor of shop windows under signs."""
    floor = np.tile(colour(style.walls[0]) * 0.5, (CELL, bays * CELL, 1))
    start = 0
    while start < bays:
        end = min(bays, start + int(random.integers(1, 4)))
        left, right = start * CELL + 2, end * CELL - 2
        floor[1:6, left:right] = tint(random, *SHOP_SIGNS, amount=0.15)
        floor[6:-2, left:right] = tint(random, 0x2A2E30, amount=0.2) * random.uniform(0.6, 2.0)
        floor[6:-2, (left + right) // 2 : (left + right) // 2 + 5] = tint(random, 0x50463C, amount=0.3)
        start = end
    return floor


def shadow_of_neighbour(random: Generator, height: int, width: int) -> Array:
    """1 where the sun reaches a front, 0 in the shadow of the house across the way, cut off aslant."""
    down, along = np.linspace(0, 1, height)[:, None], np.linspace(-0.5, 0.5, width)
    line = random.uniform(0.2, 1.1) + random.uniform(-0.8, 0.8) * along
    return 1 - ramp(down, line, line + 0.02) * (random.random() < 0.4)


def hang(picture: Array, wall: Array, corners: Array) -> Array:
    """The picture with a wall laid on it, its corners, clockwise from the top left, at `corners`."""
    pixels = corners * CANVAS
    sides = np.hypot(*(np.roll(pixels, -1, 0) - pixels).T)
    want = [max(sides[0], sides[2]), max(sides[1], sides[3])]
    if min(want) < 1.5:
        return picture
    # Perspective picks single pixels: without shrinking first, far walls would sparkle.
    sheet = as_image(wall)
    width, height = (max(2, min(int(size), have)) for size, have in zip(want, sheet.size, strict=True))
    sheet = sheet.resize((width, height), Image.Resampling.BOX)
    equations, values = [], []
    for (x, y), (u, v) in zip(pixels, [(0, 0), (width, 0), (width, height), (0, height)], strict=True):
        equations += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    coefficients = np.linalg.solve(np.array(equations), np.array(values, dtype=float)).tolist()
    size = (CANVAS, CANVAS)
    laid = sheet.transform(size, Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR)
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).polygon([(x, y) for x, y in pixels.tolist()], fill=255)
    return mix(picture, as_picture(laid), as_picture(mask))


def hang_roof(picture: Array, camera: Camera, house: House, start: Array, end: Array, tone: Array) -> Array:
    """The slope of a hipped roof over the wall from `start` to `end`."""
    length = np.hypot(*(end - start))
    along = (end - start) / length
    inward = np.array([-along[1], along[0]])
    lean, shift = inward * house.roof, along * min(house.roof, 0.45 * length)
    ridge, eaves = house.height + house.roof, house.height - 0.2
    points = np.array(
        [
            [*(start + lean + shift), ridge],
            [*(end + lean - shift), ridge],
            [*(end - inward * 0.4), eaves],
            [*(start - inward * 0.4), eaves],
        ]
    )
    rows_of_tiles = np.tile(np.linspace(-0.2, 0.1, 4), 12)[:, None] * np.ones((1, 40))
    return hang(picture, textured(tone, rows_of_tiles), camera.project(points[:, [0, 2, 1]]))


def build(
    random: Generator,
    picture: Array,
    camera: Camera,
    house: House,
    light: Light,
    sun: float,
    night: float,
    visibility: float,
) -> Array:
    """The picture with a house in it.

    `sun`: where the light comes from, -1 left to 1 right. `night`: share of lamps lit, 0 by day.
    """
    sky = mix(colour(light.horizon), colour(light.zenith), 0.5)
    roof = tint(random, *ROOFS)
    walls = [(house.plan[corner - 1], house.plan[corner]) for corner in range(4)]
    for start, end in sorted(walls, key=lambda wall: -float(np.hypot(*(wall[0] + wall[1])))):
        along, middle = end - start, (start + end) / 2
        length = float(np.hypot(*along))
        outward = np.array([along[1], -along[0]]) / length
        if outward @ middle > -0.01:
            continue
        bays = min(24, max(1, round(length / house.floor_height)))
        floors = min(40, max(1, round(house.height / house.floor_height)))
        wall = front(random, house, bays, floors, sky, night)
        facing = float(np.clip(0.35 + 0.75 * outward[0] * sun - 0.15 * outward[1], 0, 1))
        direct = facing * shadow_of_neighbour(random, *wall.shape[:2])
        wall = wall * (0.35 + 0.3 * facing) if night else light_up(wall, direct, light, 0.5)
        wall = mix(wall, sky, 1 - np.exp(-np.hypot(*middle) / visibility))
        corners = np.array([[*start, house.height], [*end, house.height], [*end, 0], [*start, 0]])
        picture = hang(picture, wall, camera.project(corners[:, [0, 2, 1]]))
        if house.roof:
            picture = hang_roof(picture, camera, house, start, end, light_up(roof, facing, light, 0.3))
    return picture
