"""What a run says of the program that made it."""

from lenslet.registry.run_facts import params_tags


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
