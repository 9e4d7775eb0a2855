"""Cost and time of a million photos by infra/batch.yaml: what `make cost` prints below the monthly bills."""

import math
from collections.abc import Mapping

MILLION = 1_000_000
CONCURRENCIES = (5, 100, 1000)  # the default of infra/batch.yaml, and what an account may have


def million_bill(usd: Mapping[str, float], usage: Mapping[str, float]) -> dict[str, float]:
    """US dollars for each line of a million photos, without a free tier; photos and parts in the same region."""
    parts = math.ceil(MILLION / usage["batch_part_photos"])
    seconds = MILLION * usage["batch_milliseconds"] / 1000
    reads = MILLION + 2 * parts  # each photo; of each part the plan and its piece of the list
    writes = parts + MILLION / 1000  # parts, and the pages of the list, which cost as much
    return {
        "function: requests": parts / 1e6 * usd["lambda_requests"],
        "function: time": seconds * usage["memory_mb"] / 1024 * usd["lambda_gb_seconds_x86_64"],
        "state machine": parts * usage["batch_transitions"] / 1e6 * usd["state_transitions"],
        "S3: reading": reads / 1e6 * usd["s3_reads"],
        "S3: writing, listing": writes / 1e6 * usd["s3_writes"],
    }


def million_hours(usage: Mapping[str, float], concurrency: int) -> float:
    """Hours of a million photos, when so many parts are classified at once; the plan comes first."""
    plan_s = MILLION / 1000 * usage["batch_list_seconds"]
    return (plan_s + MILLION * usage["batch_milliseconds"] / 1000 / concurrency) / 3600


def million_lines(usd: Mapping[str, float], usage: Mapping[str, float]) -> list[str]:
    bill = million_bill(usd, usage)
    lines = [f"a million photos of {usage['batch_milliseconds']:g} ms, once (infra/batch.yaml)"]
    lines += [f"{line:<28}{cost:>20.2f}" for line, cost in bill.items()]
    lines += [f"{'together':<28}{sum(bill.values()):>20.2f}"]
    for each in CONCURRENCIES:
        lines.append(f"{f'hours with {each:,} at once':<28}{million_hours(usage, each):>20.2f}")
    return lines
