"""What a run says of the program that made it."""

import pytest

from lenslet.registry.run_facts import command_of_run, params_tags


def test_main_settings_and_all_that_were_set_are_tags() -> None:
    flat_params = {
        "train.image_size": 224,
        "train.backbone.name": "mobilenet_v2",
        "train.head.dropout": 0.3,
        "overrides.train.head.dropout": "0.3",
        "overrides.train.seed": "7",
    }
    assert params_tags(flat_params) == {
        "params.image_size": "224",
        "params.backbone": "mobilenet_v2",
        "params.set": "train.head.dropout=0.3 train.seed=7",
    }
    assert params_tags({"average.first": "out/one"}) == {}


@pytest.mark.parametrize(
    ("program", "command"),
    [
        ("/env/bin/lenslet", "lenslet train"),
        ("/env/lenslet/__main__.py", "lenslet train"),
        ("train.py", "train.py train"),
    ],
)
def test_command_is_one_that_can_be_typed(
    program: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", [program, "train"])
    assert command_of_run() == command
