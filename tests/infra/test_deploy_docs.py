"""What docs/deploy.md says exists, exists, and its numbers are those of the templates and the code."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
import yaml

from infra.cost import HOURS, PRICES, function_bill, instance_bill, read_prices
from infra.stacks import ACCOUNT_TEMPLATE, TEMPLATE, TemplateLoader, declared_parameters
from lenslet.inference import budget
from lenslet.serving import gateway
from lenslet.serving.links import allowance
from lenslet.serving.links import fetcher as remote

DOCUMENT = Path("docs/deploy.md")
TEXT = DOCUMENT.read_text(encoding="utf-8")
PROSE = " ".join(TEXT.split())  # wherever a line ends
STAGE = declared_parameters(TEMPLATE.read_text(encoding="utf-8"))
ACCOUNT = declared_parameters(ACCOUNT_TEMPLATE.read_text(encoding="utf-8"))


def limits() -> dict[str, str]:
    """First column of the table "Limits" → the whole row."""
    table = TEXT.split("## Limits")[1].split("\n## ")[0]
    return {row.split("|")[1].strip(): row for row in table.splitlines() if row.startswith("| ")}


def limit(start: str) -> str:
    [row] = [row for name, row in limits().items() if name.startswith(start)]
    return row


def kept_images() -> tuple[int, int]:
    """How many that were in production, and how many besides, the repository's rules keep."""
    template = yaml.load(ACCOUNT_TEMPLATE.read_text(encoding="utf-8"), TemplateLoader)
    text = template["Resources"]["Repository"]["Properties"]["LifecyclePolicy"]["LifecyclePolicyText"]
    rules = json.loads(text.replace("${KeptImages}", str(default("KeptImages", ACCOUNT))))["rules"]
    counts = {rule["selection"]["tagStatus"]: rule["selection"]["countNumber"] for rule in rules}
    assert [rule["selection"].get("tagPrefixList") for rule in rules] == [None, ["production-"], None]
    return counts["tagged"], counts["any"]


def default(name: str, parameters: dict[str, dict[str, object]] = STAGE) -> object:
    return parameters[name]["Default"]


def test_targets_exist() -> None:
    makefile = Path("Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)", TEXT))
    assert {"deploy", "promote", "rollback", "destroy", "cost", "install"} <= named <= targets
    settings = set(re.findall(r"\bmake [a-z]+ ([A-Z]+)=", TEXT))
    assert {"STAGE", "REQUESTS"} <= settings
    for name in settings | {"PARAMETERS", "ARCHITECTURE", "DIGEST", "YES"}:
        assert f"$({name})" in makefile or f"$(if $({name})" in makefile, name


def test_files_and_links_exist() -> None:
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", TEXT):
        assert (DOCUMENT.parent / link).exists(), link
    for name in re.findall(r"`((?:[\w.-]+/)*[\w.-]+\.(?:py|yaml|yml|md))`", TEXT):
        assert Path(name).exists(), name
    for name in re.findall(r"(?:--template-file|python -m) ([\w./]+)", TEXT):
        assert Path(name).exists() or Path(f"{name.replace('.', '/')}.py").exists(), name
    assert Path("Dockerfile").exists()


def test_parameters_exist() -> None:
    machine = set(declared_parameters(Path("infra/ec2.yaml").read_text(encoding="utf-8")))
    pipeline = json.loads(Path("tests/sagemaker/definition.json").read_text(encoding="utf-8"))
    machine |= {each["Name"] for each in pipeline["Parameters"]}
    named = set(re.findall(r"`([A-Z][a-z]+[A-Z][A-Za-z]*)(?:=[^`]*)?`", TEXT))
    template = TEMPLATE.read_text(encoding="utf-8")
    others = {"TimeoutInMillis", "DashboardUrl", "PredictRequest", "PreTraffic"}
    assert all(f"{name}:" in template for name in others)
    assert {"ReservedConcurrency", "MonthlyBudget", "ApiKeyHashes"} <= named
    assert named - others <= set(STAGE) | set(ACCOUNT) | set(machine), (
        named - others - set(STAGE) - set(ACCOUNT)
    )
    for given in re.findall(r'PARAMETERS="([^"]+)"', TEXT):
        assert {pair.split("=")[0] for pair in given.split()} <= set(STAGE) | set(ACCOUNT)


def test_nine_commands_each_needed_or_optional() -> None:
    rows = re.findall(r"^\| (\d+) \| `.+` \| (\w+) \| .+ \|$", TEXT, re.MULTILINE)
    assert [number for number, _ in rows] == [str(number) for number in range(1, 10)]
    assert {word for _, word in rows} == {"needed", "optional"}


def test_limits_of_the_template() -> None:
    template = yaml.load(TEMPLATE.read_text(encoding="utf-8"), TemplateLoader)
    function = template["Resources"]["Function"]["Properties"]
    events = [event for event in function["Events"].values() if event["Type"] == "Api"]
    waits = {event["Properties"]["TimeoutInMillis"] for event in events}
    assert waits == {29000} and limit("29 s")
    assert function["Timeout"] == 25 and limit("25 s")
    assert "parameter `MemoryMB`" in limit(f"{default('MemoryMB'):,} MB")
    assert "parameter `ReservedConcurrency`" in limit(f"{default('ReservedConcurrency')} instances")
    rate, burst, quota = (default(name) for name in ("RateLimit", "BurstLimit", "MonthlyQuota"))
    assert limit(f"{rate} requests a second, {burst} at once, {quota:,} a month")
    assert limit(f"logs are kept {default('LogRetentionDays')} days")
    released, others = kept_images()
    assert limit(f"{released} releases to production to go back to, and {others} images besides")
    assert f"images kept (at most {released + others})" in TEXT
    assert "Canary10Percent5Minutes" in TEMPLATE.read_text(encoding="utf-8")
    assert "10 % of the requests for 5 minutes" in TEXT
    assert default("Architecture") == "x86_64" and "x86_64, with what is free" in TEXT


def test_limits_of_the_code() -> None:
    assert gateway.MAX_BODY_BYTES == 6 * 1024**2 and "`MAX_BODY_BYTES`" in limit("6 MB")
    assert remote.MAX_BYTES == 20 * 1024**2 and "`MAX_BYTES`" in limit("20 MB")
    assert budget.MAX_PIXELS == 50_000_000 and "50 megapixels" in limit("20 MB")
    assert allowance.MAX_BYTES_TOGETHER == 40 * 1024**2 and "40 MB all links" in limit("20 MB")


def test_costs_are_those_that_make_cost_prints() -> None:
    prices = read_prices(PRICES)
    rows = re.findall(r"^\| ([\d,]+) \| ([\d.]+) \|$", TEXT, re.MULTILINE)
    assert len(rows) == 4
    for requests, dollars in rows:
        bill = function_bill(int(requests.replace(",", "")), prices, "x86_64", has_free=True)
        assert dollars == f"{sum(bill.values()):.2f}"
    always_on = f"{sum(instance_bill(0, prices, 't4g.small', has_free=True).values()):.2f}"
    idle = f"{sum(function_bill(0, prices, 'x86_64', has_free=True).values()):.2f}"
    assert f"({always_on} for a t4g.small)" in PROSE
    assert (
        f"{always_on} a month for a t4g.small whether it is asked or not, where Lambda costs {idle} idle"
        in PROSE
    )
    bills = [
        sum(function_bill(each, prices, "x86_64", has_free=True).values()) for each in (3_500_000, 4_500_000)
    ]
    assert bills[0] < float(always_on) < bills[1] and "at about four million requests" in PROSE


def test_costs_of_floods_and_of_another_stage() -> None:
    prices = read_prices(PRICES)
    open_methods, rate, instances = (
        4,
        int(str(default("RateLimit"))),
        int(str(default("ReservedConcurrency"))),
    )
    # An empty answer takes a millisecond, and no cold start to speak of.
    quick = dataclasses.replace(
        prices, usage={**prices.usage, "milliseconds": 1, "cold_start_share": 0, "metrics": 0}
    )
    flood = function_bill(open_methods * rate * HOURS * 3600, quick, "x86_64", has_free=False)
    flood.pop("metrics, alarms, dashboard")
    assert f"that is {sum(flood.values()):.0f} at most" in PROSE
    assert f"or {sum(flood.values()) * 24 / HOURS:.0f} a day" in PROSE
    gigabytes = prices.usage["memory_mb"] / 1024
    busy = instances * HOURS * 3600 * gigabytes * prices.usd["lambda_gb_seconds_x86_64"]
    assert f"cost {busy:.0f}, and each million of requests {prices.usd['lambda_requests']:.2f}." in PROSE
    alarms = 2 * prices.usage["alarms"] - prices.free["alarms"]
    assert alarms == prices.usage["alarms"] + 2 and "Two of the twelve metrics" in PROSE
    assert f"adds {prices.usage['alarms'] * prices.usd['alarms']:.2f} for its twelve" in PROSE
    assert f"at {prices.usd['http_requests']:.2f} a million" in PROSE
    refused = (
        prices.usage["access_log_bytes"] / 1000 * (prices.usd["log_gigabytes"] + prices.usd["log_storage"])
    )
    assert f"{refused:.2f} for each million" in PROSE
    alarm = yaml.load(TEMPLATE.read_text(encoding="utf-8"), TemplateLoader)["Resources"]["LogAlarm"][
        "Properties"
    ]
    assert alarm["Threshold"] == 50_000_000 and "more than 50 MB in an hour" in PROSE


def test_endings_of_uploads_are_those_of_the_bucket() -> None:
    template = yaml.load(TEMPLATE.read_text(encoding="utf-8"), TemplateLoader)
    bucket = template["Resources"]["UploadBucket"]["Properties"]
    noticed = [
        rule["Value"]
        for each in bucket["NotificationConfiguration"]["LambdaConfigurations"]
        for rule in each["Filter"]["S3Key"]["Rules"]
    ]
    section = TEXT.split("## Photos in a bucket")[1].split("\n## ")[0]
    assert re.findall(r"`(\.\w+)`", section) == noticed
    days = {rule.get("ExpirationInDays") for rule in bucket["LifecycleConfiguration"]["Rules"]} - {None}
    assert days == {30} and "deleted after 30 days" in PROSE


@pytest.mark.parametrize("port", ["8080", "8501"])
def test_compose_has_the_ports_that_the_page_names(port: str) -> None:
    assert f"http://127.0.0.1:{port}" in TEXT
    assert f':{port}"' in Path("compose.yaml").read_text(encoding="utf-8")
