"""The backbones that a search may try: those whose weights are on this disk."""

from lenslet.config import BackboneParams, ParamsError
from lenslet.network.backbones import BACKBONES, imagenet_weights, keras_home


def available_backbones(params: BackboneParams, wanted: tuple[str, ...]) -> list[str]:
    """The `wanted` backbones whose initial weights are on this disk; nothing is downloaded.

    A .keras file holds the weights of one row only, `params.name`.
    Raises: ParamsError if a row is unknown or none is at hand.
    """
    unknown = [name for name in wanted if name not in BACKBONES]
    if unknown:
        raise ParamsError(f"tune.backbones: {unknown[0]!r} is unknown; known are: {', '.join(BACKBONES)}")
    if params.weights == "none":
        raise ParamsError(
            "a backbone without weights has nothing to search a head on: set train.backbone.weights"
        )
    if params.weights != "imagenet":
        return [params.name]
    found = [name for name in wanted if imagenet_weights(BACKBONES[name])]
    if not found:
        raise ParamsError(
            f"the weights of none of tune.backbones are in {keras_home() / 'models'}: train once with one of them, "
            "which downloads its weights, or add efficientnet_lite0, whose weights come with lenslet"
        )
    return found
