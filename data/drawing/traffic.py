"""What stands and moves in a street: cars, people, lamp posts and trees."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from PIL import ImageDraw

from drawing.brushes import CANVAS, Array, as_image, as_picture, colour, ink, pick, tint
from drawing.houses import Camera
from drawing.plants import crown

PAINTS = (0xD8D8D8, 0x9A9EA2, 0x202428, 0x8A1E1C, 0x1E3A6A, 0xE8E8E4, 0x5A6064, 0x2E4A3A, 0xC8A040)
COATS = (0x2A2C34, 0x4A3A34, 0x7A2A28, 0x30405A, 0x8A8074, 0x1E1E20)
CROWNS = (0x5A7A34, 0x48642E, 0x6A8A3E, 0xA08040)
SKIN, BARK = colour(0xB08A70), colour(0x4A4036)
TAIL_LIGHT, HEADLIGHT = np.array([0.75, 0.08, 0.06]), np.array([1.0, 0.97, 0.85])

Span = tuple[float, float]


@dataclass(frozen=True)
class Pen:
    """Draws flat shapes given in metres."""

    draw: ImageDraw.ImageDraw
    camera: Camera

    def fill(self, corners: list[tuple[float, float, float]], tone: Array) -> None:
        """A polygon; corners are right, up and ahead of the camera."""
        outline = self.camera.project(np.array(corners)) * CANVAS
        self.draw.polygon([(x, y) for x, y in outline.tolist()], fill=ink(tone))

    def face(self, x: Span, y: Span, ahead: float, tone: Array) -> None:
        """An upright rectangle that faces the camera."""
        self.fill([(x[0], y[1], ahead), (x[1], y[1], ahead), (x[1], y[0], ahead), (x[0], y[0], ahead)], tone)

    def box(self, x: Span, y: Span, z: Span, tone: Array, taper: float = 0.0) -> None:
        """The sides of a box that the camera sees; `taper` metres narrower at its top all round."""
        low, high = x, (x[0] + taper, x[1] - taper)
        near, far = z[0] + taper, z[1] - taper
        if y[1] < self.camera.eye:
            top = [(high[0], y[1], far), (high[1], y[1], far), (high[1], y[1], near), (high[0], y[1], near)]
            self.fill(top, tone * 1.15)
        if x[1] < 0 or x[0] > 0:
            side = 1 if x[1] < 0 else 0
            flank = [
                (high[side], y[1], near),
                (high[side], y[1], far),
                (low[side], y[0], z[1]),
                (low[side], y[0], z[0]),
            ]
            self.fill(flank, tone * 0.7)
        end = [(high[0], y[1], near), (high[1], y[1], near), (low[1], y[0], z[0]), (low[0], y[0], z[0])]
        self.fill(end, tone * 0.9)


def car(random: Generator, pen: Pen, x: float, ahead: float, bright: float) -> None:
    """A car from behind on the right of the street, from the front on its left."""
    length, roof = random.uniform(3.8, 4.8), random.uniform(1.35, 1.6)
    paint, glass = tint(random, *PAINTS) * bright, np.array([0.16, 0.19, 0.22]) * (0.5 + bright)
    end = ahead + length
    pen.fill(
        [(x - 1, 0, ahead - 0.2), (x + 1, 0, ahead - 0.2), (x + 1, 0, end), (x - 1, 0, end)], np.full(3, 0.08)
    )
    for left in (x - 0.75, x + 0.55):
        pen.box((left, left + 0.2), (0, 0.4), (ahead + 0.1, end), np.full(3, 0.06))
    pen.box((x - 0.88, x + 0.88), (0.25, 0.85), (ahead, end), paint)
    pen.box((x - 0.83, x + 0.83), (0.85, roof), (ahead + 0.4, ahead + 0.8 * length), glass, taper=0.18)
    pen.box((x - 0.66, x + 0.66), (roof - 0.06, roof), (ahead + 0.6, ahead + 0.72 * length), paint)
    for left in (x - 0.8, x + 0.55):
        pen.face((left, left + 0.25), (0.58, 0.75), ahead, TAIL_LIGHT if x > 0 else HEADLIGHT)
    pen.face((x - 0.25, x + 0.25), (0.48, 0.6), ahead, np.full(3, 0.8) * bright)


def walker(random: Generator, pen: Pen, x: float, ahead: float, bright: float) -> None:
    """Somebody on foot: legs, coat, head."""
    tall, coat = random.uniform(1.55, 1.85), tint(random, *COATS) * bright
    for left in (x - 0.15, x + 0.05):
        pen.face((left, left + 0.12), (0, tall * 0.5), ahead, coat * 0.6)
    pen.face((x - 0.24, x + 0.24), (tall * 0.42, tall * 0.84), ahead, coat)
    pen.face((x - 0.1, x + 0.1), (tall * 0.86, tall), ahead, SKIN * bright)


def lamp_post(random: Generator, pen: Pen, x: float, ahead: float, bright: float) -> None:
    """A post with an arm over the road."""
    arm = x - np.sign(x) * 1.4
    pen.box((x - 0.06, x + 0.06), (0, 6.5), (ahead, ahead + 0.1), np.full(3, 0.2))
    pen.box((min(x, arm), max(x, arm)), (6.4, 6.5), (ahead, ahead + 0.1), np.full(3, 0.2))


def trunk(random: Generator, pen: Pen, x: float, ahead: float, bright: float) -> None:
    """The trunk of a street tree."""
    pen.box((x - 0.15, x + 0.15), (0, 3.2), (ahead, ahead + 0.3), BARK * bright)


@dataclass(frozen=True)
class Kind:
    """How a thing is drawn, how far from the middle (shares of half the street), how far ahead (metres)."""

    draw: Callable[[Generator, Pen, float, float, float], None]
    across: Span
    ahead: Span


CAR = Kind(car, (0.22, 0.6), (7, 70))
WALKER = Kind(walker, (0.2, 0.95), (5, 40))
LAMP = Kind(lamp_post, (0.76, 0.76), (6, 50))
TREE = Kind(trunk, (0.8, 0.95), (10, 70))


def furnish(
    random: Generator,
    picture: Array,
    camera: Camera,
    half: float,
    bright: float,
    counts: list[tuple[Kind, int]],
) -> Array:
    """The picture with so many of each Kind in it, on both sides, the farthest drawn first."""
    things = [
        (kind, pick(random, [-1, 1]) * half * random.uniform(*kind.across), random.uniform(*kind.ahead))
        for kind, count in counts
        for _ in range(count)
    ]
    green = tint(random, *CROWNS) * bright
    for kind, x, ahead in sorted(things, key=lambda thing: -thing[2]):
        sheet = as_image(picture)
        kind.draw(random, Pen(ImageDraw.Draw(sheet), camera), x, ahead, bright)
        picture = as_picture(sheet)
        if kind is TREE:
            (left, top), (right, bottom) = camera.project(
                np.array([[x - 2.5, 8, ahead], [x + 2.5, 2.5, ahead]])
            )
            middle = (left + right) / 2, (top + bottom) / 2
            picture = crown(random, picture, *middle, right - left, bottom - top, green)
    return picture
