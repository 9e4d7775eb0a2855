"""make cost: bills against sums done by hand, and the price list against what it is about."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import lambda_func
from infra.batch_cost import million_bill, million_hours
from infra.cost import (
    PRICES,
    Prices,
    function_bill,
    gigabyte_seconds,
    instance_bill,
    read_prices,
    report,
)
from infra.stacks import ACCOUNT_TEMPLATE, TEMPLATE, TemplateLoader
from lenslet.inference.errors import InputError
from lenslet.serving.label_batch import PART_PHOTOS
from tests.support.endpoint import ROOT
from tests.support.function_log import write_metrics

# Round numbers: 100 ms and 4 % of 250 ms at 1 GB are 0.11 GB-seconds a request.
ROUND = Prices(
    region="nowhere",
    written="2026-01-01",
    usd={
        "lambda_requests": 1.0,
        "lambda_gb_seconds_arm64": 0.00001,
        "lambda_gb_seconds_x86_64": 0.00002,
        "gateway_requests": 4.0,
        "http_requests": 1.5,
        "log_gigabytes": 0.5,
        "log_storage": 0.1,
        "metrics": 0.3,
        "alarms": 0.1,
        "dashboards": 3.0,
        "image_storage": 0.1,
        "data_out": 0.1,
        "small": 0.01,
        "surplus": 0.05,
        "address": 0.005,
        "disk": 0.1,
        "state_transitions": 25,
        "s3_reads": 0.4,
        "s3_writes": 5,
    },
    unconfirmed=(),
    free={
        "lambda_requests": 1_000_000, "lambda_gb_seconds": 100_000, "log_gigabytes": 1,
        "metrics": 4, "alarms": 2, "dashboards": 1, "data_out": 100,
    },
    usage={
        "milliseconds": 99.2, "arm64_milliseconds_more": 0, "cold_start_ms": 250, "cold_start_share": 0.04,
        "memory_mb": 1024,
        "log_bytes": 1000, "log_months": 2, "answer_bytes": 50_000, "metrics": 6, "alarms": 3, "dashboards": 1,
        "image_gigabytes": 0.2, "images": 5,
        "batch_milliseconds": 40, "batch_part_photos": 100, "batch_transitions": 3, "batch_list_seconds": 0.1,
    },
    instances={"small": {"processors": 2, "baseline": 0.2, "surplus": "surplus"}},
    instance_disk_gigabytes=10,
)  # fmt: skip
NOTHING = dict.fromkeys(ROUND.usd, 0.0)


def rounded(bill: dict[str, float]) -> dict[str, float]:
    return {line: round(dollars, 6) for line, dollars in bill.items()}


def test_one_request_is_billed_in_whole_milliseconds_with_its_share_of_a_cold_start() -> None:
    assert gigabyte_seconds(ROUND.usage, "x86_64") == pytest.approx(0.11)
    slow = {**ROUND.usage, "arm64_milliseconds_more": 30}  # 130 ms and 10 of cold starts
    assert gigabyte_seconds(slow, "arm64") == pytest.approx(0.14)


def test_bill_without_a_free_tier() -> None:
    assert rounded(function_bill(3_000_000, ROUND, "arm64", has_free=False)) == {
        "function: requests": 3.0,
        "function: time": 3.3,  # 330,000 GB-seconds
        "gateway": 12.0,
        "logs": 2.1,  # 3 GB taken in, and kept for two months
        "metrics, alarms, dashboard": 5.1,  # 1.8 + 0.3 + 3
        "images": 0.1,
        "data out": 15.0,  # 150 GB
    }


def test_bill_with_the_free_tier() -> None:
    assert rounded(function_bill(3_000_000, ROUND, "x86_64", has_free=True)) == {
        "function: requests": 2.0,
        "function: time": 4.6,  # 230,000 GB-seconds
        "gateway": 12.0,
        "logs": 1.6,  # 2 GB taken in, 6 GB-months kept
        "metrics, alarms, dashboard": 0.7,  # 2 metrics, 1 alarm
        "images": 0.1,
        "data out": 5.0,
    }


def test_free_logs_that_are_left_are_free_to_keep() -> None:
    # 0.4 GB are taken in; of the 0.8 GB-months that they are kept, 0.6 are left.
    assert function_bill(400_000, ROUND, "arm64", has_free=True)["logs"] == pytest.approx(0.02)


def test_idle_costs_the_images_alone_within_the_free_tier() -> None:
    bill = function_bill(0, ROUND, "arm64", has_free=True)
    assert {line for line, dollars in bill.items() if dollars} == {"metrics, alarms, dashboard", "images"}
    assert bill["metrics, alarms, dashboard"] == pytest.approx(0.1)  # the third alarm; no metric is sent


def test_a_machine_and_its_work_above_the_baseline() -> None:
    # 100 million × 99.2 ms are 2,755.6 hours; 730 × 2 × 0.2 = 292 are in the price.
    assert rounded(instance_bill(100_000_000, ROUND, "small", has_free=True)) == {
        "machine": 7.3,
        "work above its baseline": 123.177778,
        "disk and address": 4.65,
        "data out": 490.0,  # 5,000 GB, 100 of them free
    }
    assert instance_bill(1_000_000, ROUND, "small", has_free=True)["work above its baseline"] == 0


def test_alternatives_are_printed_with_their_limits() -> None:
    lines = [line.split() for line in report(3_000_000, ROUND).splitlines()]
    # With the free tier, x86-64: 2.0 + 4.6 + 1.6 + 0.7 + 0.1 + 5.0
    assert ["Function", "URL,", "no", "gateway", "14.00"] in lines
    assert ["HTTP", "API", "18.50"] in lines  # 3 × 1.5 more
    # 7.3 + 4.65 + 50 GB above the free ones at 0.1; 2 × 2,628,000 s / 99.2 ms
    assert ["small", "16.95", "52,983,870"] in lines


def test_the_shipped_prices_for_a_million_requests() -> None:
    prices = read_prices(PRICES)
    # (48 + 0.01 × 231) ms × 1,769/1,024 GB = 0.086912 GB-seconds, and 27 ms more on arm64: 0.133556
    bill = rounded(function_bill(1_000_000, prices, "arm64", has_free=False))
    assert bill["function: requests"] == 0.2
    assert bill["function: time"] == pytest.approx(1.7808, abs=1e-4)
    assert bill["gateway"] == 3.5
    assert bill["logs"] == pytest.approx(0.795)  # 1.5 GB at 0.50 and 0.03
    assert bill["metrics, alarms, dashboard"] == pytest.approx(7.2)  # 10 × 0.30, 12 × 0.10, 3.00
    assert function_bill(1_000_000, prices, "x86_64", has_free=False)["function: time"] == pytest.approx(
        1.4485, abs=1e-4
    )
    # 730 × 0.0168, 10 × 0.08, 730 × 0.005
    assert sum(instance_bill(0, prices, "t4g.small", has_free=True).values()) == pytest.approx(16.714)


def test_every_price_is_sourced_and_what_is_not_confirmed_is_said() -> None:
    content = yaml.safe_load(PRICES.read_text(encoding="utf-8"))
    for name, price in content["prices"].items():
        assert price["source"].startswith("https://aws.amazon.com/"), name
        assert price["found"] is None or price["found"].startswith("http"), name
        assert (price["date"] == "not confirmed") is (price["found"] is None), name
        assert re.fullmatch(r"not confirmed|(read in )?202[1-6](-\d\d)*", price["date"]), name
    unconfirmed = {name for name, price in content["prices"].items() if price["found"] is None}
    text = report(1_000_000, read_prices(PRICES))
    assert unconfirmed and all(name in text.splitlines()[-1] for name in unconfirmed)


def test_usage_is_that_of_the_templates() -> None:
    usage = read_prices(PRICES).usage
    stage, account = (
        yaml.load(path.read_text(encoding="utf-8"), TemplateLoader) for path in (TEMPLATE, ACCOUNT_TEMPLATE)
    )
    assert usage["memory_mb"] == stage["Parameters"]["MemoryMB"]["Default"]
    assert usage["log_months"] * 30 == stage["Parameters"]["LogRetentionDays"]["Default"]
    rules = account["Resources"]["Repository"]["Properties"]["LifecyclePolicy"]["LifecyclePolicyText"]
    kept = str(account["Parameters"]["KeptImages"]["Default"])
    counts = re.findall(r'imageCountMoreThan", "countNumber": (\d+)', rules.replace("${KeptImages}", kept))
    assert usage["images"] == sum(map(int, counts))
    kinds = [resource["Type"] for resource in stage["Resources"].values()]
    assert usage["dashboards"] == kinds.count("AWS::CloudWatch::Dashboard")
    alarms = [
        resource["Properties"]
        for resource in stage["Resources"].values()
        if resource["Type"] == "AWS::CloudWatch::Alarm" and "Condition" not in resource
    ]
    looked_at = [sum("MetricStat" in metric for metric in alarm.get("Metrics", [])) or 1 for alarm in alarms]
    assert usage["alarms"] == sum(looked_at)


def test_usage_is_that_of_the_function(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = read_prices(PRICES).usage
    write_metrics(monkeypatch)
    event = json.loads((ROOT / "tests" / "events" / "rest_predict_raw_jpeg.json").read_text())
    for options in (event["queryStringParameters"], event["multiValueQueryStringParameters"]):
        del options["explain"]  # most callers ask for none
    answer = lambda_func.handler(event, None)
    lines = capsys.readouterr().out
    # Lambda and the gateway add three lines and one of their own, about 700 bytes.
    assert len(lines) + 700 == pytest.approx(usage["log_bytes"], rel=0.2)
    assert len(answer["body"]) + 500 == pytest.approx(usage["answer_bytes"], rel=0.25)
    sent = [json.loads(line) for line in lines.splitlines() if '"_aws"' in line]
    names = {metric["Name"] for line in sent for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]}
    labels = len(lambda_func.models.default.artifact.labels)
    # One for each label. (Failures, which the template makes of the log, is there only while there are any.)
    assert usage["metrics"] == len(names - {"Predictions"}) + labels


def test_a_shorter_request_costs_less() -> None:
    prices = read_prices(PRICES)
    long, short = (
        function_bill(1_000_000, each, "arm64", has_free=False)["function: time"]
        for each in (prices, dataclasses.replace(prices, usage={**prices.usage, "milliseconds": 5.4}))
    )
    assert short < long / 2  # 33 ms and 75


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("usd: 0.20", "usd: cheap", "could not convert"),
        ("usd: 0.20", "usd: -1", "not be negative"),
        ("    unit: hour\n", "", "must have .'date', 'found', 'source', 'unit', 'usd'"),
        ("region: us-east-1", "", "region"),
        ("free:", "gratis:", "gratis"),
    ],
)
def test_a_broken_price_list_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(PRICES.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_prices(path)


def test_command(tmp_path: Path) -> None:
    run = [sys.executable, "-m", "infra.cost"]
    done = subprocess.run(
        [*run, "--requests", "1_000_000", "--ms", "5.4"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0 and done.stdout.startswith(
        "1,000,000 requests a month of 5.4 ms and 1,769 MB"
    )
    incomplete = tmp_path / "prices.yaml"
    text = PRICES.read_text(encoding="utf-8")
    incomplete.write_text(text.replace("  image_gigabytes:", "  image_gb:"), encoding="utf-8")
    for wrong in (
        ["--requests", "many"],
        ["--ms", "0"],
        ["--ms", "nan"],
        ["--prices", "nowhere.yaml"],
        ["--prices", str(incomplete)],
    ):
        refused = subprocess.run([*run, *wrong], capture_output=True, text=True, cwd=ROOT)
        assert refused.returncode == 2 and "Traceback" not in refused.stderr, wrong
    assert refused.stderr == f"infra.cost: {incomplete} does not name 'image_gigabytes'\n"


def test_million_photos_by_hand() -> None:
    usd = {
        "lambda_requests": 0.2, "lambda_gb_seconds_x86_64": 0.00002, "state_transitions": 25, "s3_reads": 0.4,
        "s3_writes": 5,
    }  # fmt: skip
    usage = {
        "batch_milliseconds": 36, "batch_part_photos": 100, "batch_transitions": 3, "batch_list_seconds": 0.1,
        "memory_mb": 1024,
    }  # fmt: skip
    # 10,000 parts; 36,000 GB-seconds; 30,000 transitions; 1,020,000 GETs; 10,000 PUTs and 1,000 LISTs.
    assert million_bill(usd, usage) == pytest.approx(
        {
            "function: requests": 0.002, "function: time": 0.72, "state machine": 0.75, "S3: reading": 0.408,
            "S3: writing, listing": 0.055,
        }
    )  # fmt: skip
    assert million_hours(usage, 10) == pytest.approx((100 + 3600) / 3600)


def test_million_photos_are_in_the_report_and_as_the_function_does_them() -> None:
    prices = read_prices(PRICES)
    assert prices.usage["batch_part_photos"] == PART_PHOTOS
    assert "a million photos of 32 ms, once (infra/batch.yaml)" in report(1, prices)
