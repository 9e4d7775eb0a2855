"""Monthly cost of one stage on AWS, and of a virtual machine that runs all month.

    python -m infra.cost --requests 1000000 --ms 5.4

Prints, in US dollars by the list prices of infra/prices.yaml: the function's bill for both architectures, with and
without AWS's permanent free tier; the alternatives, with the most requests they can answer; a million photos in bulk.
"""

import argparse
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from infra.batch_cost import million_lines
from lenslet.inference.errors import InputError

PRICES = Path(__file__).with_name("prices.yaml")
HOURS = 730  # a month, as AWS counts it
ARCHITECTURES = ("arm64", "x86_64")
PRICE_KEYS = {"usd", "unit", "source", "found", "date"}


@dataclass(frozen=True)
class Prices:
    """Content of infra/prices.yaml; of each price only the US dollars."""

    region: str
    written: str
    usd: Mapping[str, float]
    unconfirmed: tuple[str, ...]
    free: Mapping[str, float]
    usage: Mapping[str, float]
    instances: Mapping[str, Mapping[str, Any]]
    instance_disk_gigabytes: float


def main(argv: list[str] | None = None) -> int:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m infra.cost", description=__doc__, formatter_class=form)
    parser.add_argument("--requests", type=int, default=1_000_000, help="requests a month (%(default)s)")
    parser.add_argument("--ms", type=float, help="milliseconds a request (as measured: infra/prices.yaml)")
    parser.add_argument("--prices", type=Path, default=PRICES, help="another price list (infra/prices.yaml)")
    arguments = parser.parse_args(argv)
    if arguments.requests < 0 or not (arguments.ms is None or 0 < arguments.ms < math.inf):
        parser.error("--requests takes 0 or more, --ms more than 0")
    try:
        prices = read_prices(arguments.prices)
        if arguments.ms:
            prices = replace(prices, usage={**prices.usage, "milliseconds": arguments.ms})
        print(report(arguments.requests, prices))
    except (InputError, OSError, KeyError) as error:
        wrong = f"{arguments.prices} does not name {error}" if isinstance(error, KeyError) else error
        print(f"infra.cost: {wrong}", file=sys.stderr)
        return 2
    return 0


def read_prices(path: Path) -> Prices:
    """Raises: InputError if a key is missing or unknown, or a value is not a number; OSError."""
    try:
        content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        prices = content.pop("prices")
        for name, price in prices.items():
            if set(price) != PRICE_KEYS or float(price["usd"]) < 0:
                raise ValueError(f"price {name} must have {sorted(PRICE_KEYS)}, and not be negative")
        unconfirmed = tuple(name for name, price in prices.items() if price["found"] is None)
        usd = {name: float(price["usd"]) for name, price in prices.items()}
        return Prices(**content, usd=usd, unconfirmed=unconfirmed)
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} is no list of prices: {error}") from error


def gigabyte_seconds(usage: Mapping[str, float], architecture: str) -> float:
    """Billed duration of one request times memory: whole milliseconds, and the request's share of a cold start."""
    cold = usage["cold_start_share"] * math.ceil(usage["cold_start_ms"])
    more = usage["arm64_milliseconds_more"] if architecture == "arm64" else 0
    return (math.ceil(usage["milliseconds"] + more) + cold) / 1000 * usage["memory_mb"] / 1024


def function_bill(requests: int, prices: Prices, architecture: str, *, has_free: bool) -> dict[str, float]:
    """Monthly bill of one stage behind the gateway: line → US dollars."""
    usd, usage = prices.usd, prices.usage

    def charged(name: str, amount: float, price: str = "") -> float:
        return max(0.0, amount - (prices.free[name] if has_free else 0)) * usd[price or name]

    logged = requests * usage["log_bytes"] / 1e9
    free_logs = prices.free["log_gigabytes"] if has_free else 0.0  # ingestion first, then storage
    stored = max(0.0, logged * usage["log_months"] - max(0.0, free_logs - logged))
    monitoring = ("metrics", "alarms", "dashboards") if requests else ("alarms", "dashboards")
    seconds = requests * gigabyte_seconds(usage, architecture)
    return {
        "function: requests": charged("lambda_requests", requests) / 1e6,
        "function: time": charged("lambda_gb_seconds", seconds, f"lambda_gb_seconds_{architecture}"),
        "gateway": requests / 1e6 * usd["gateway_requests"],
        "logs": charged("log_gigabytes", logged) + stored * usd["log_storage"],
        "metrics, alarms, dashboard": sum(charged(name, usage[name]) for name in monitoring),
        "images": usage["images"] * usage["image_gigabytes"] * usd["image_storage"],
        "data out": charged("data_out", requests * usage["answer_bytes"] / 1e9),
    }


def instance_bill(requests: int, prices: Prices, name: str, *, has_free: bool) -> dict[str, float]:
    """Monthly bill of a virtual machine, line → US dollars: disk, address, and processor time above its baseline."""
    instance, usd = prices.instances[name], prices.usd
    busy_hours = requests * prices.usage["milliseconds"] / 3.6e6
    sent = requests * prices.usage["answer_bytes"] / 1e9 - (prices.free["data_out"] if has_free else 0)
    included = HOURS * instance["processors"] * instance["baseline"]
    return {
        "machine": HOURS * usd[name],
        "work above its baseline": max(0.0, busy_hours - included) * usd[instance["surplus"]],
        "disk and address": prices.instance_disk_gigabytes * usd["disk"] + HOURS * usd["address"],
        "data out": max(0.0, sent) * usd["data_out"],
    }


def report(requests: int, prices: Prices) -> str:
    """Both tables as text."""
    ms, memory = prices.usage["milliseconds"], prices.usage["memory_mb"]
    head = f"{requests:,} requests a month of {ms:g} ms and {memory:,.0f} MB, one stage; US dollars, list prices of"
    kinds = [(each, has_free) for each in ARCHITECTURES for has_free in (True, False)]
    bills = [function_bill(requests, prices, each, has_free=has_free) for each, has_free in kinds]
    titles = row(f"{each}, free tier" if has_free else each for each, has_free in kinds)
    lines = [f"{head} {prices.region}, dated {prices.written}\n", f"{'Lambda':<28}{titles}"]
    lines += [f"{line:<28}" + row(f"{bill[line]:.2f}" for bill in bills) for line in bills[0]]
    lines += [f"{'a month':<28}" + row(f"{sum(bill.values()):.2f}" for bill in bills)]
    lines += [f"\n{'alternatives, free tier':<28}" + row(["a month", "requests at most"])]
    bare = sum(cost for line, cost in bills[kinds.index(("x86_64", True))].items() if line != "gateway")
    lines += [f"{'HTTP API':<28}" + row([f"{bare + requests / 1e6 * prices.usd['http_requests']:.2f}"])]
    lines += [f"{'Function URL, no gateway':<28}" + row([f"{bare:.2f}"])]
    for name, instance in prices.instances.items():
        cost = sum(instance_bill(requests, prices, name, has_free=True).values())
        most = instance["processors"] * HOURS * 3.6e6 // ms
        lines.append(f"{name:<28}" + row([f"{cost:.2f}", f"{most:,.0f}"]))
    lacking = "\nA virtual machine has no API keys, quotas, throttling and TLS, and no replacement."
    unsure = f"Not confirmed; look these up before use: {', '.join(prices.unconfirmed)}"
    return "\n".join([*lines, "", *million_lines(prices.usd, prices.usage), lacking, unsure])


def row(cells: Any) -> str:
    return "".join(f"{cell:>20}" for cell in cells)


if __name__ == "__main__":
    sys.exit(main())
