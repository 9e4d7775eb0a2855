"""What the function writes: its log and metrics, to where pytest can read them."""

import sys
from types import SimpleNamespace

import pytest


def write_to_stdout(patch: pytest.MonkeyPatch) -> None:
    """Log and metrics go to the standard output of the moment, whatever was imported before."""
    import lambda_func

    # The logger keeps the stream of the time of import, which pytest has replaced since, and will again.
    now = SimpleNamespace(write=lambda text: sys.stdout.write(text), flush=lambda: None)
    patch.setattr(lambda_func.telemetry.logger.registered_handler, "stream", now)
    # fuzz.handler sets it where it is imported.
    patch.delenv("POWERTOOLS_METRICS_DISABLED", raising=False)
