"""What serving costs a month, on AWS Lambda and on a machine that is always on, and from where on which is cheaper.

    python -m infra.cost --requests 1000000
    python -m infra.cost --requests 1000000 --ms 5.4

List prices and what a request uses stand in infra/prices.yaml, each with its date and source. Expect two tables of
US dollars: the function's bill line by line, for both architectures, with and without what AWS gives free to
everybody for ever; then the machines, with the number of requests a month from which each is the cheaper way.
"""

import argparse
import math
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

PRICES = Path(__file__).with_name("prices.yaml")
HOURS = 730  # a month, as AWS counts it
SECONDS = HOURS * 3600
ARCHITECTURES = ("arm64", "x86_64")
PRICE_KEYS = {"usd", "unit", "source", "found", "date"}

Bill = dict[str, float]  # line → US dollars a month


class PricesError(Exception):
    """The price list cannot be read; the message is one sentence."""


@dataclass(frozen=True)
class Instance:
    """A machine that is always on."""

    architecture: str
    memory_gib: float
    processors: int
    baseline: float  # share of each processor that its price holds; more costs `surplus`
    surplus: str  # name of a price


@dataclass(frozen=True)
class Prices:
    """infra/prices.yaml."""

    region: str
    written: str
    usd: Mapping[str, float]
    unconfirmed: tuple[str, ...]
    free: Mapping[str, float]
    usage: Mapping[str, float]
    instances: Mapping[str, Instance]
    disk_gigabytes: float


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    try:
        prices = read_prices(arguments.prices)
        if arguments.ms is not None:
            prices = with_duration(prices, arguments.ms)
        text = report(arguments.requests, prices)
    except KeyError as error:
        print(f"infra.cost: {arguments.prices} does not name {error}", file=sys.stderr)
        return 2
    except (PricesError, OSError) as error:
        print(f"infra.cost: {error}", file=sys.stderr)
        return 2
    try:
        print(text, flush=True)
    except BrokenPipeError:  # `head` has seen enough; Python would try once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m infra.cost", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=whole, default=1_000_000, help="requests a month (%(default)s)")
    parser.add_argument(
        "--ms", type=positive, help="milliseconds that a request takes (as measured: infra/prices.yaml)"
    )
    parser.add_argument(
        "--prices", type=Path, default=PRICES, help="price list, with the same names (infra/prices.yaml)"
    )
    return parser.parse_args(argv)


def whole(text: str) -> int:
    digits = text.replace("_", "").replace(",", "")
    if not digits.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, as 1000000")
    return int(digits)


def positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of milliseconds above 0")
    return number


def read_prices(path: Path) -> Prices:
    """Raises: PricesError if something is missing, unknown or no number; OSError."""
    try:
        content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        table = content["prices"]
        for name, price in table.items():
            if set(price) != PRICE_KEYS or float(price["usd"]) < 0:
                raise ValueError(
                    f"price {name} must have {', '.join(sorted(PRICE_KEYS))}, and not be negative"
                )
        return Prices(
            content["region"],
            str(content["written"]),
            {name: float(price["usd"]) for name, price in table.items()},
            tuple(name for name, price in table.items() if price["found"] is None),
            {name: float(amount) for name, amount in content["free"].items()},
            {name: float(amount) for name, amount in content["usage"].items()},
            {name: Instance(**values) for name, values in content["instances"].items()},
            float(content["instance_disk_gigabytes"]),
        )
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise PricesError(f"{path} is no list of prices: {error}") from error


def with_duration(prices: Prices, milliseconds: float) -> Prices:
    return Prices(**{**vars(prices), "usage": {**prices.usage, "milliseconds": milliseconds}})


def gigabyte_seconds(usage: Mapping[str, float]) -> float:
    """That Lambda bills for one request: whole milliseconds, and its share of a cold start."""
    cold = usage["cold_start_share"] * math.ceil(usage["cold_start_ms"])
    return (math.ceil(usage["milliseconds"]) + cold) / 1000 * usage["memory_mb"] / 1024


def function_bill(
    requests: int,
    prices: Prices,
    architecture: str,
    *,
    has_free: bool,
    has_gateway: bool = True,
    is_kept_warm: bool = False,
) -> Bill:
    """One stage for a month. `is_kept_warm`: with one environment of provisioned concurrency, which answers all."""
    usd, usage = prices.usd, prices.usage

    def charged(name: str, amount: float) -> float:
        return max(0.0, amount - (prices.free.get(name, 0) if has_free else 0))

    used = requests * gigabyte_seconds(usage)
    if is_kept_warm:  # nothing of it is free
        memory_gb = usage["memory_mb"] / 1024
        time = used * usd[f"lambda_warm_gb_seconds_{architecture}"]
        time += SECONDS * memory_gb * usd[f"lambda_kept_warm_{architecture}"]
    else:
        time = charged("lambda_gb_seconds", used) * usd[f"lambda_gb_seconds_{architecture}"]
    logged = requests * usage["log_bytes"] / 1e9
    free_logs = prices.free["log_gigabytes"] if has_free else 0.0  # taken in first, kept with what is left
    kept = max(0.0, logged * usage["log_months"] - max(0.0, free_logs - logged))
    # A metric costs only in months in which it is sent.
    metrics = usage["metrics"] if requests else 0
    return {
        "function: requests": charged("lambda_requests", requests) / 1e6 * usd["lambda_requests"],
        "function: time": time,
        "gateway": requests / 1e6 * usd["gateway_requests"] if has_gateway else 0.0,
        "logs": charged("log_gigabytes", logged) * usd["log_gigabytes"] + kept * usd["log_storage"],
        "metrics, alarms, dashboard": sum(
            charged(name, amount) * usd[name]
            for name, amount in (
                ("metrics", metrics),
                ("alarms", usage["alarms"]),
                ("dashboards", usage["dashboards"]),
            )
        ),
        "images": usage["images"] * usage["image_gigabytes"] * usd["image_storage"],
        "data out": charged("data_out", requests * usage["answer_bytes"] / 1e9) * usd["data_out"],
    }


def instance_bill(requests: int, prices: Prices, name: str, *, has_free: bool) -> Bill:
    """A machine for a month, with its disk and address, and what it works above its baseline."""
    instance, usd = prices.instances[name], prices.usd
    busy_hours = requests * prices.usage["milliseconds"] / 3.6e6
    surplus_hours = max(0.0, busy_hours - HOURS * instance.processors * instance.baseline)
    sent = requests * prices.usage["answer_bytes"] / 1e9
    return {
        "machine": HOURS * usd[name],
        "work above its baseline": surplus_hours * usd[instance.surplus],
        "disk and address": prices.disk_gigabytes * usd["disk"] + HOURS * usd["address"],
        "data out": max(0.0, sent - (prices.free["data_out"] if has_free else 0)) * usd["data_out"],
    }


def capacity(prices: Prices, processors: int) -> int:
    """Requests a month at which all processors are always busy: more than anybody should plan with."""
    return int(processors * SECONDS * 1000 / prices.usage["milliseconds"])


def break_even(dearer: Callable[[int], float], flat: Callable[[int], float], most: int) -> int | None:
    """The least number of requests, up to `most`, at which `flat` costs no more than `dearer`, which rises faster."""
    if flat(most) > dearer(most):
        return None
    low, high = 0, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if flat(middle) <= dearer(middle) else (middle + 1, high)
    return low


def report(requests: int, prices: Prices) -> str:
    usage = prices.usage
    columns = {
        f"{architecture}{', free tier' if has_free else ''}": function_bill(
            requests, prices, architecture, has_free=has_free
        )
        for architecture in ARCHITECTURES
        for has_free in (True, False)
    }
    parts = [
        f"{requests:,} requests a month of {usage['milliseconds']:g} ms and {usage['memory_mb']:,.0f} MB, one stage; "
        f"US dollars, list prices of {prices.region}, written down {prices.written}",
        bill_table("Lambda", columns),
        ways_table(requests, prices),
        "Free tier: what every account has for ever. Machines: one, always on, without the gateway's keys, quotas,\n"
        "throttling and TLS, and without a second machine for the day on which it fails.",
    ]
    if prices.unconfirmed:
        parts.append(f"Not confirmed, look up before you rely on them: {', '.join(prices.unconfirmed)}")
    return "\n\n".join(parts)


def bill_table(title: str, columns: Mapping[str, Bill]) -> str:
    lines = [f"{title:<28}" + "".join(f"{name:>20}" for name in columns)]
    bills = list(columns.values())
    lines += [f"{line:<28}" + "".join(f"{bill[line]:>20.2f}" for bill in bills) for line in bills[0]]
    return "\n".join([*lines, f"{'a month':<28}" + "".join(f"{sum(bill.values()):>20.2f}" for bill in bills)])


def ways_table(requests: int, prices: Prices) -> str:
    """Other ways to serve, beside Lambda behind the gateway, all with the free tier."""
    lines = [f"{'other ways (free tier)':<44}{'a month':>10}{'per million more':>18}  cheaper than Lambda"]
    for architecture in ARCHITECTURES:

        def usual(count: int, architecture: str = architecture) -> float:
            return sum(function_bill(count, prices, architecture, has_free=True).values())

        for way, cost, most in ways(prices, architecture):
            least = break_even(usual, cost, most)
            when = (
                "never" if least is None else "always" if least == 0 else f"from {least:,} requests a month"
            )
            if requests > most:
                when = f"answers {most:,} requests a month at most"
            more = cost(requests + 1_000_000) - cost(requests)
            lines.append(f"{way:<44}{cost(requests):>10.2f}{more:>18.2f}  {when}")
    return "\n".join(lines)


def ways(prices: Prices, architecture: str) -> list[tuple[str, Callable[[int], float], int]]:
    """(description, US dollars for a number of requests, the most requests it can answer)."""

    def machine(name: str) -> Callable[[int], float]:
        return lambda count: sum(instance_bill(count, prices, name, has_free=True).values())

    def function(**options: bool) -> Callable[[int], float]:
        return lambda count: sum(
            function_bill(count, prices, architecture, has_free=True, **options).values()
        )

    everything = 10**9
    return [
        (f"{architecture}: Function URL, no gateway", function(has_gateway=False), everything),
        (f"{architecture}: one environment kept warm", function(is_kept_warm=True), capacity(prices, 1)),
        *(
            (
                f"{architecture}: {name}, {instance.memory_gib:g} GiB, always on",
                machine(name),
                capacity(prices, instance.processors),
            )
            for name, instance in prices.instances.items()
            if instance.architecture == architecture
        ),
    ]


if __name__ == "__main__":
    sys.exit(main())
