"""Items sorted in temporary files come out as `sorted` has them."""

import random

import pytest

from lenslet.dataset.external_sort import sorted_on_disk


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 1000])
def test_as_sorted(count: int) -> None:
    names = ["caf\udce9", "forêt", "a\nb", *(f"{number:05}" for number in range(count))][:count]
    items = [(name, len(name) > 4, False) for name in names]
    random.Random(1).shuffle(items)
    assert list(sorted_on_disk(items, chunk=100)) == sorted(items)
