"""YAML as params.yaml may have it: without aliases, which can make a small file huge, and with readable errors."""

import copy
from functools import lru_cache
from typing import Any


def load_yaml(text: str) -> Any:
    """The content of a document. Raises: ValueError, with one sentence."""
    return copy.deepcopy(_parsed(text))


# `lenslet gate` and `retrain` read params.yaml twice, tests hundreds of times; each time takes 12 ms.
@lru_cache(maxsize=8)
def _parsed(text: str) -> Any:
    # Imported here, because `--help` need not wait for it. PyYAML reads 1e-05 as text, and takes the last of two keys
    # of one name.
    from ruamel.yaml import YAML
    from ruamel.yaml.composer import Composer
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.events import AliasEvent

    class WithoutAliases(Composer):
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.parser.check_event(AliasEvent):
                raise ValueError("an alias (*name) is not allowed: write out its value")
            return super().compose_node(parent, index)

    reader = YAML(typ="safe", pure=True)
    reader.Composer = WithoutAliases
    try:
        return reader.load(text)
    except MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ValueError(f"{error.problem or error.context}{line}") from error
    except YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
