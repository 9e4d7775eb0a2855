"""The shipped model's splits, which this version would draw otherwise."""

import json
from pathlib import Path

from lenslet.dataset.recorded_splits import unpacked_splits

SHIPPED = Path(__file__).parents[2] / "model"


def test_shipped_model_names_the_split_of_each_photo() -> None:
    record = json.loads((SHIPPED / "training.json").read_text(encoding="utf-8"))
    recorded = unpacked_splits(record["splits"])
    counts = {split: sum(split in splits for splits in recorded.values()) for split in record["photos"]}
    assert counts == {"train": 12605, "validation": 1401, "test": 1560} == record["photos"]
