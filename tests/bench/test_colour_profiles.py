"""The colour profiles that the benchmark builds, on colours whose values are published."""

from PIL import Image

from bench.colour_profiles import SPACES, SRGB, converted, profile


def test_red_of_srgb_in_wider_spaces() -> None:
    # CSS Color 4: color(display-p3 0.91749 0.20029 0.13856), color(a98-rgb 0.8586 0 0)
    red = Image.new("RGB", (1, 1), (255, 0, 0))
    for name, expected in {"Display P3": (234, 51, 35), "Adobe RGB": (219, 0, 0)}.items():
        found = converted(red, SRGB, profile(*SPACES[name])).getpixel((0, 0))
        assert isinstance(found, tuple)
        assert max(abs(a - b) for a, b in zip(found, expected, strict=True)) <= 1
