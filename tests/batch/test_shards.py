"""Numbers of array jobs: Slurm counts from anywhere, AWS Batch and Kubernetes from 0."""

import pytest

from lenslet.batch.shards import Shard, read_shard
from lenslet.inference.errors import InputError

SLURM = {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": "4"}


@pytest.mark.parametrize(
    ("text", "environment", "expected"),
    [
        ("1/1", {}, (0, 1)),
        ("3/16", {}, (2, 16)),
        ("auto", {**SLURM, "SLURM_ARRAY_TASK_ID": "4"}, (3, 4)),
        ("auto", {**SLURM, "SLURM_ARRAY_TASK_STEP": "2"}, (3, 4)),
        ("auto", {"AWS_BATCH_JOB_ARRAY_INDEX": "0", "AWS_BATCH_JOB_ARRAY_SIZE": "10"}, (0, 10)),
        ("auto/10", {"AWS_BATCH_JOB_ARRAY_INDEX": "9"}, (9, 10)),
        ("auto/16", {"JOB_COMPLETION_INDEX": "15"}, (15, 16)),
    ],
)
def test_number_and_count(text: str, environment: dict[str, str], expected: tuple[int, int]) -> None:
    assert read_shard(text, environment) == Shard(*expected)


@pytest.mark.parametrize(
    ("text", "environment", "message"),
    [
        ("3", {}, "give 3/16 for the third of sixteen"),
        ("a/b", {}, "give 3/16"),
        ("17/16", {}, "there is no shard 17 of 16"),
        ("1/0", {}, "there is no shard 1 of 0"),
        ("auto", {}, "this is no array job: none of SLURM_ARRAY_TASK_ID"),
        ("auto", {"JOB_COMPLETION_INDEX": "3"}, "but not of how many: give auto/16"),
        ("auto", {"JOB_COMPLETION_INDEX": "x"}, "must be a whole number, not 'x'"),
        ("auto", SLURM, "not numbered evenly"),
        ("auto/2", {"JOB_COMPLETION_INDEX": "2"}, "there is no shard 3 of 2"),
    ],
)
def test_wrong_shards(text: str, environment: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_shard(text, environment)


def test_every_part_is_in_one_shard() -> None:
    shards = [Shard(index, 7) for index in range(7)]
    assert all(sum(part in shard for shard in shards) == 1 for part in range(100))
