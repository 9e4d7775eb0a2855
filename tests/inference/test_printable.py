"""Names that would steer a terminal are printed as text."""

import os

import pytest

from lenslet.inference.printable import printable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("forêt 森林 👩‍🌾", "forêt 森林 👩‍🌾"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("two\nlines\tand\r", "two\\nlines\\tand\\r"),
        ("\x9b31m", "\\x9b31m"),
        ("gpj.\u202eexe", "gpj.\\u202eexe"),
        ("line\u2028break", "line\\u2028break"),
        (os.fsdecode(b"caf\xe9.jpg"), "caf\ufffd.jpg"),
    ],
)
def test_control_characters_and_stray_bytes_are_shown(text: str, expected: str) -> None:
    assert printable(text) == expected
