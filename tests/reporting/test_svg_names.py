"""Plots of classes whose names hold characters that XML has not."""

from xml.etree import ElementTree

import numpy as np
import pytest

from lenslet.reporting.plots import confusion_figure, svg


@pytest.mark.parametrize("name", ["\x1b[31mred", "a\x00b", "\ufffe", "<b>&", "a\x7f\x85"])
def test_svg_is_well_formed(name):
    picture = svg(confusion_figure([name, "sea"], np.array([[3, 1], [0, 4]])))
    ElementTree.fromstring(picture.encode())
    assert "sea" in picture
