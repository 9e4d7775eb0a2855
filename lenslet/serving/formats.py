"""Picture formats that the service reads, as the operator narrows them in the environment.

- LENSLET_FORMATS: names of formats, separated by commas, for example `JPEG, PNG`. Not set or blank: all.
"""

import re
from collections.abc import Mapping

from lenslet.inference.decode import FORMATS
from lenslet.serving.settings import read_entries

NAME = re.compile("|".join(FORMATS), re.IGNORECASE)


def read_formats(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Those of `FORMATS` that are read, in their order. Raises: ValueError if one is unknown."""
    kind = f"names of formats ({', '.join(FORMATS)})"
    entries = {entry.upper() for entry in read_entries(environment, "LENSLET_FORMATS", NAME, kind)}
    return tuple(name for name in FORMATS if name in entries) if entries else FORMATS
