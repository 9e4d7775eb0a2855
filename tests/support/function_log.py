"""Log and metrics of the function, redirected to where pytest captures them."""

import sys
from types import SimpleNamespace

import pytest


def write_to_stdout(patch: pytest.MonkeyPatch) -> None:
    """Send log and metrics to the current standard output, even if the function was imported before."""
    import lambda_func

    # The logger keeps the stream that it had at import, which pytest has replaced since, and will again.
    now = SimpleNamespace(write=lambda text: sys.stdout.write(text), flush=lambda: None)
    patch.setattr(lambda_func.telemetry.logger.registered_handler, "stream", now)
    patch.delenv("POWERTOOLS_METRICS_DISABLED", raising=False)
