"""How many processors this process may use."""

import os
from contextlib import suppress
from math import ceil
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container, cgroup version 2: microseconds in a period, or "max"


def processors() -> int:
    """Those of a container or a batch system, which may be fewer than the machine has; at least 1."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        time, period = QUOTA.read_text().split()
        count = min(count, ceil(int(time) / int(period)))  # "max" is no number
    return max(1, count)
