"""The function's lines of metrics, which `lenslet serve` switches off for all of its process."""

import pytest


def write_metrics(patch: pytest.MonkeyPatch) -> None:
    import lambda_func

    patch.setattr(lambda_func.telemetry, "writes_metrics", True)
