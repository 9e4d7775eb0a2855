"""The record of a training that is read again, also one that an older version wrote."""

import json
import shutil
from pathlib import Path

import pytest

from lenslet.training.record import RecordError, check_fingerprint, read_record

SHIPPED = Path(__file__).parents[2] / "model"


def test_record_of_0_1_0_kept_photos_whose_copies_judge(tmp_path: Path) -> None:
    content = json.loads((SHIPPED / "training.json").read_text(encoding="utf-8"))
    del content["params"]["leaks"]
    (tmp_path / "training.json").write_text(json.dumps(content), encoding="utf-8")
    assert read_record(tmp_path).params.leaks == "keep"


def test_other_photos_are_refused(tmp_path: Path) -> None:
    shutil.copy(SHIPPED / "training.json", tmp_path)
    record = read_record(tmp_path)
    check_fingerprint(record, record.data_fingerprint, Path("photos"))
    with pytest.raises(RecordError, match="photos does not hold the photos that intel-scenes was trained on"):
        check_fingerprint(record, "0" * 64, Path("photos"))
