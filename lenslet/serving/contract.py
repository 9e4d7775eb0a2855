"""The contract of the HTTP endpoint, for programs: `openapi.yaml` as JSON, which needs no YAML parser here.

`make openapi` writes openapi.json beside this file; a test holds the two equal.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any


@cache
def read_contract() -> dict[str, Any]:
    """The OpenAPI document; not to be modified, as it is read once."""
    contract: dict[str, Any] = json.loads(Path(__file__).with_name("openapi.json").read_bytes())
    return contract
