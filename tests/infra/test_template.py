"""infra/template.yaml after SAM's transform: what must never be, what each setting does, and what AWS's tools say."""

import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from infra.transform import EXAMPLE, TEMPLATE, read_template, summary, transform
from lenslet.serving import gateway, request
from lenslet.serving.links.fetcher import MAX_LINK_LENGTH
from lenslet.serving.telemetry import LINK_FAILURES
from tests.support import template_rules as rules
from tests.support.documents import settings
from tests.support.stack import Stack

ROOT = Path(__file__).parents[2]
ACCOUNT = ROOT / "infra" / "account.yaml"
MACHINE = ROOT / "infra" / "ec2.yaml"
DATA = ROOT / "infra" / "data.yaml"
TRAINING = ROOT / "infra" / "training.yaml"
OTHERS = (ACCOUNT, MACHINE, DATA, TRAINING)  # without SAM's transform
EVERYTHING = {
    "WithUploads": "true",
    "WithFunctionUrl": "true",
    "WithHttpApi": "true",
    "LinkBuckets": "photos-of-ours,archive",
    "FeedbackPlace": "lenslet-feedback/staging",
    "AlarmEmail": "someone@example.com",
    "ApiKeyHashes": "0" * 64,
    "PermissionsBoundary": "arn:aws:iam::123456789012:policy/lenslet-boundary",
}
OPTIONS = {"WithUploads": "true", "WithFunctionUrl": "true", "WithHttpApi": "true"}  # without keys
VARIANTS: dict[str, dict[str, str]] = {
    "as it comes": {},
    "production": {"Stage": "production"},
    "with everything": EVERYTHING,
    "with options": OPTIONS,
}
GONE = object()


@cache
def variant(name: str) -> Stack:
    return stage(**VARIANTS[name])


def stage(template: dict[str, Any] | None = None, **parameters: str) -> Stack:
    return Stack(transform(template or source(), parameters), {**EXAMPLE, **parameters})


@cache
def source() -> dict[str, Any]:
    return read_template()


def broken(path: str, value: object) -> dict[str, Any]:
    """The template with another value (GONE: none) at "Resource/property/…"; with a slash before, from the very top."""
    template: dict[str, Any] = json.loads(json.dumps(source()))
    resource, _, rest = path.partition("/")
    whole = f"Resources/{resource}/Properties/{rest}" if resource else rest
    *steps, last = (int(step) if step.isdigit() else step.replace("|", "/") for step in whole.split("/"))
    place: Any = template
    for step in steps:
        place = place[step]
    if value is GONE:
        del place[last]
    else:
        place[last] = value
    return template


# --- rules


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_rule(rule: Any, name: str) -> None:
    assert list(rule(variant(name))) == []


LOG_POLICY = "FunctionRole/Policies/0/PolicyDocument/Statement/0"
PUT_POLICY = "UploadRole/Policies/0/PolicyDocument/Statement/3"
NOTICE = "UploadBucket/NotificationConfiguration/LambdaConfigurations/0/Filter"
ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"
WRONG_CODE = '{"error": {"code": "slow_down", "message": "wait"}}'
# Rule → where the template is broken, how, and what the rule says of it
BREAKAGES: dict[Any, list[tuple[str, object, str]]] = {
    rules.a_key_is_needed: [
        ("Function/Events/Predict/Properties/Auth", GONE, "post /predict is open"),
        ("Function/Events/Describe/Properties/Auth", GONE, "get / is open"),
        ("Function/Events/PreflightPredict/Properties/Auth", {"ApiKeyRequired": True}, "is closed"),
        ("Function/Events/Health/Properties/Path", "/healthy", "get /healthy is open"),
        ("HttpPredict/AuthorizationType", "NONE", "HttpPredict: post /predict is open"),
        ("HttpHealth/AuthorizationType", "AWS_IAM", "HttpHealth: get /health is closed"),
    ],
    rules.no_role_has_a_wildcard: [
        (f"{LOG_POLICY}/Action", "logs:*", "FunctionRole may logs:*"),
        (f"{LOG_POLICY}/Resource", "*", "everything"),
        ("DeploymentRole/ManagedPolicyArns/0", ADMINISTRATOR, "AdministratorAccess"),
    ],
    rules.trust_is_narrow: [
        ("FunctionRole/AssumeRolePolicyDocument/Statement/0/Principal", {"AWS": "*"}, "FunctionRole trusts"),
    ],
    rules.logs_end: [
        ("FunctionLogs/RetentionInDays", GONE, "FunctionLogs has no retention limit"),
        ("Function/LoggingConfig", GONE, "not of this stack"),
    ],
    rules.the_function_ends_before_the_gateway: [
        ("Function/Timeout", 30, "29000 ms"),
        ("Function/Events/Predict/Properties/TimeoutInMillis", 20_000, "20000 ms"),
        ("HttpIntegration/TimeoutInMillis", 20_000, "HttpIntegration gives up after 20000 ms"),
    ],
    rules.cost_of_untrusted_callers_is_bounded: [
        ("Function/ReservedConcurrentExecutions", GONE, "Function has no reserved"),
        ("UploadFunction/ReservedConcurrentExecutions", GONE, "UploadFunction has no reserved"),
        ("Api/MethodSettings/0/ThrottlingRateLimit", GONE, "the stage has no throttle"),
        ("Api/Auth/UsagePlan/Quota", GONE, "no quota"),
        ("HttpStage/DefaultRouteSettings", GONE, "HttpStage has no throttle"),
    ],
    rules.the_gateways_errors_are_readable: [
        ("Api/GatewayResponses/DEFAULT_4XX", GONE, "DEFAULT_4XX is AWS's own"),
        ("Api/GatewayResponses/THROTTLED/ResponseParameters/Headers", {"Retry-After": "'1'"}, "by pages"),
        ("Api/GatewayResponses/THROTTLED/ResponseTemplates/application|json", WRONG_CODE, "slow_down"),
    ],
    rules.logs_hold_no_query: [
        ("Api/AccessLogSetting/Format", '{"path":"$context.path"}', "has path"),
        ("Api/AccessLogSetting/Format", '{"from":"$context.identity.sourceIp"}', "has identity.sourceIp"),
        ("Api/MethodSettings/0/DataTraceEnabled", True, "execution logs are on"),
        ("HttpStage/AccessLogSettings/Format", '{"path":"$context.path"}', "has path"),
        ("Api/MethodSettings/0/LoggingLevel", "INFO", "execution logs are on"),
    ],
    rules.photos_are_binary_and_json_is_text: [
        ("Api/BinaryMediaTypes/0", "*~1*", "application/json would arrive in base64"),
        ("Api/BinaryMediaTypes/2", GONE, "image/png would arrive as broken text"),
        ("Api/BinaryMediaTypes/12", GONE, "multipart/form-data would arrive as broken text"),
    ],
    rules.alarms_tell: [
        ("LatencyAlarm/AlarmActions", GONE, "LatencyAlarm tells nobody"),
        ("CrashAlarm/TreatMissingData", "breaching", "alarms without traffic"),
    ],
    rules.releases_are_tried_first: [
        ("Function/DeploymentPreference/Type", "AllAtOnce", "LambdaAllAtOnce"),
        ("Function/DeploymentPreference/Alarms", GONE, "watched by nothing"),
    ],
    rules.buckets_are_closed: [
        ("UploadBucket/PublicAccessBlockConfiguration/BlockPublicPolicy", False, "may be made public"),
        ("UploadBucket/BucketEncryption", GONE, "is not encrypted"),
        ("UploadBucket/LifecycleConfiguration", GONE, "is never emptied"),
        ("/Resources/UploadBucketPolicy", GONE, "answers plain http"),
    ],
    rules.an_answer_wakes_nothing: [
        (NOTICE, GONE, "an answer is taken for a photo"),
        (f"{NOTICE}/S3Key/Rules/0/Value", ".json", "an answer is taken for a photo"),
        (f"{NOTICE}/S3Key/Rules/0/Value", ".jp2", ".jpg is not noticed"),
        (f"{PUT_POLICY}/Resource", "arn:aws:s3:::photos/*", "may write over"),
    ],
    rules.nobody_is_let_in_by_a_side_door: [
        ("FunctionUrl/AuthType", "NONE", "FunctionUrl needs no key"),
        ("/Resources/FunctionUrlInvokePermission/Condition", "HasFunctionUrl", "lets everybody in"),
        ("UploadPermission/Principal", "*", "lets everybody in"),
    ],
    rules.stages_share_no_name: [
        ("Function/FunctionName", "lenslet", "Function is named lenslet in both stages"),
        ("ThrottleAlarm/AlarmName", "throttles", "ThrottleAlarm is named"),
        ("Function/Environment/Variables/LENSLET_SERVICE_NAME", "lenslet", "mixed up"),
    ],
    rules.outputs_hold_no_secret: [
        ("/Outputs/ApiKeyId/Value", {"Fn::GetAtt": ["ApiApiKey", "Value"]}, "ApiApiKey.Value"),
    ],
    rules.apis_carry_their_stage: [
        ("Api/Tags", GONE, "Api does not say"),
        ("HttpApi/Tags", {"lenslet-stage": "production"}, "HttpApi does not say that it is of staging"),
    ],
    rules.names_of_the_account_carry_the_region: [
        ("Dashboard/DashboardName", "lenslet-staging", "Dashboard is named lenslet-staging in every region"),
        ("FunctionRole/RoleName", "lenslet-staging", "FunctionRole is named lenslet-staging in every region"),
    ],
    rules.a_version_is_asked_first: [
        ("Function/DeploymentPreference/Hooks", GONE, "no hook"),
        ("PreTraffic/FunctionName", "lenslet-staging-hook", "does not allow it to call"),
        ("PreTraffic/Environment/Variables", {"NEW_VERSION": "staging"}, "does not know the new version"),
    ],
    rules.no_circle: [
        ("UploadPermission/SourceArn", {"Fn::GetAtt": ["UploadBucket", "Arn"]}, "wait for each other"),
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "path", "value", "complaint"),
    [(rule, *breakage) for rule, each in BREAKAGES.items() for breakage in each],
    ids=lambda each: each.__name__ if callable(each) else each if isinstance(each, str) else "",
)
def test_rule_finds_a_broken_template(rule: Any, path: str, value: object, complaint: str) -> None:
    found = list(rule(stage(broken(path, value), **OPTIONS)))
    assert any(complaint in each for each in found), found


def test_every_rule_is_seen_to_fail() -> None:
    assert BREAKAGES.keys() == set(rules.RULES)


# --- what the settings do


def version(there: Stack) -> str:
    [name] = there.of_type("AWS::Lambda::Version")
    return name


@pytest.mark.parametrize(
    ("parameter", "value", "is_new"),
    [
        ("ImageUri", EXAMPLE["ImageUri"].replace("sha256:0", "sha256:1"), True),
        ("Architecture", "arm64", True),
        ("MemoryMB", "3008", True),
        ("LinkBuckets", "photos-of-ours", True),
        ("LinkHosts", "images.example.com", True),
        ("Contact", "https://example.com/about", True),
        ("Formats", "JPEG,PNG", True),
        ("FeedbackPlace", "lenslet-feedback/staging", True),
        ("CorsOrigins", "https://app.example.com", True),
        ("ApiKeyHashes", "0" * 64, True),
        ("ReleasedAt", "2026-11-29T01:00:00Z", True),  # the same image and settings after a rollback
        # Not of the version, but of the function, the gateway or the log:
        ("ReservedConcurrency", "5", False),
        ("RateLimit", "50", False),
        ("LogRetentionDays", "7", False),
        ("WithCanary", "false", False),
    ],
)
def test_a_new_image_or_setting_is_a_new_version(parameter: str, value: str, is_new: bool) -> None:
    assert (version(stage(**{parameter: value})) != version(variant("as it comes"))) is is_new


def test_every_setting_of_the_service_can_be_set() -> None:
    listed = {name for name in settings("The service") if name.startswith("LENSLET_")}
    listed -= {"LENSLET_MODEL", "LENSLET_MODELS", "LENSLET_SHADOW", "LENSLET_SHADOW_SHARE"}  # in the image
    listed -= {"LENSLET_BASE_PATH"}  # a REST API gives the route without it
    listed -= {"LENSLET_LOG_LEVEL", "LENSLET_METRICS_DISABLED"}  # alarms need both
    given = variant("as it comes").resources["Function"]["Properties"]["Environment"]["Variables"]
    assert set(given) == listed
    values = {
        "LinkBuckets": "b-1",
        "LinkHosts": "h",
        "Contact": "c",
        "Formats": "f",
        "FeedbackPlace": "lenslet-feedback/staging",
        "CorsOrigins": "o",
        "ApiKeyHashes": "a",
    }
    given = stage(**values).resources["Function"]["Properties"]["Environment"]["Variables"]
    assert given == {
        "LENSLET_SERVICE_NAME": "lenslet-staging",
        "LENSLET_S3_BUCKETS": "b-1",
        "LENSLET_LINK_HOSTS": "h",
        "LENSLET_CONTACT": "c",
        "LENSLET_FORMATS": "f",
        "LENSLET_FEEDBACK": "s3://lenslet-feedback/staging",
        "LENSLET_CORS_ORIGINS": "o",
        "LENSLET_API_KEYS": "a",
    }


def test_the_role_reads_the_listed_buckets_and_no_other() -> None:
    own = stage().resources["FunctionRole"]["Properties"]["Policies"]
    assert [policy["PolicyName"] for policy in own] == ["write-its-log"]
    reading = variant("with everything").resources["FunctionRole"]["Properties"]["Policies"][1]
    assert reading["PolicyDocument"]["Statement"] == [
        {
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": ["arn:aws:s3:::photos-of-ours/*", "arn:aws:s3:::archive/*"],
        }
    ]


def test_the_role_puts_corrections_into_their_place_and_does_nothing_else_there() -> None:
    policy = stage(FeedbackPlace="lenslet-feedback/staging").resources["FunctionRole"]["Properties"][
        "Policies"
    ][1]
    assert policy["PolicyDocument"]["Statement"] == [
        {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::lenslet-feedback/staging/*"}
    ]


@pytest.mark.parametrize(
    ("keys", "way_in", "permissions"),
    [("", "AWS_IAM", set()), ("0" * 64, "NONE", {"lambda:InvokeFunctionUrl", "lambda:InvokeFunction"})],
)
def test_the_function_url_is_public_with_keys_only(keys: str, way_in: str, permissions: set[str]) -> None:
    there = stage(WithFunctionUrl="true", ApiKeyHashes=keys)
    [url] = there.of_type("AWS::Lambda::Url").values()
    everybody = [
        each for each in there.of_type("AWS::Lambda::Permission").values() if each["Principal"] == "*"
    ]
    assert (url["AuthType"], {each["Action"] for each in everybody}) == (way_in, permissions)


def test_optional_parts_are_not_there_unless_asked_for() -> None:
    there = variant("as it comes").resources
    assert not {"FunctionUrl", "UploadBucket", "UploadFunction", "UploadRole", "AlarmMail", "HttpApi"} & set(
        there
    )
    assert {"FunctionUrl", "UploadBucket", "UploadFunction", "UploadRole", "AlarmMail", "HttpApi"} < set(
        variant("with everything").resources
    )


def test_every_role_keeps_within_the_boundary() -> None:
    """Workflows may make no other (infra/account.yaml)."""
    roles = variant("with everything").of_type("AWS::IAM::Role")
    assert roles.keys() == {"FunctionRole", "DeploymentRole", "PreTrafficRole", "UploadRole"}
    assert {each.get("PermissionsBoundary") for each in roles.values()} == {EVERYTHING["PermissionsBoundary"]}
    assert not any(
        "PermissionsBoundary" in each for each in variant("with options").of_type("AWS::IAM::Role").values()
    )


def test_new_accounts_need_not_reserve() -> None:
    function = stage(ReservedConcurrency="-1").resources["Function"]["Properties"]
    assert "ReservedConcurrentExecutions" not in function
    assert (
        stage(ReservedConcurrency="0").resources["Function"]["Properties"]["ReservedConcurrentExecutions"]
        == "0"
    )


def test_going_back_does_not_wait_for_an_alarm() -> None:
    [group] = stage(WithCanary="false").of_type("AWS::CodeDeploy::DeploymentGroup").values()
    assert group["DeploymentConfigName"] == "CodeDeployDefault.LambdaAllAtOnce"
    assert group["AlarmConfiguration"] == {}
    alias = stage(WithCanary="false").resources["FunctionAliaslive"]["UpdatePolicy"]
    assert "BeforeAllowTrafficHook" not in alias["CodeDeployLambdaAliasUpdate"]


def test_the_upload_function_is_the_same_image_with_another_entry_point() -> None:
    import lambda_func

    functions = variant("with options").of_type("AWS::Lambda::Function")
    assert (
        functions["UploadFunction"]["Code"]
        == functions["Function"]["Code"]
        == {"ImageUri": EXAMPLE["ImageUri"]}
    )
    [command] = functions["UploadFunction"]["ImageConfig"]["Command"]
    module, _, function = command.partition(".")
    assert module == "lambda_func" and callable(getattr(lambda_func, function))
    bucket = variant("with options").resources["UploadBucket"]["Properties"]["BucketName"]
    assert functions["UploadFunction"]["Environment"]["Variables"]["LENSLET_S3_BUCKETS"] == bucket


@pytest.mark.parametrize(
    ("body", "is_let_through"),
    [
        ({"image": "a" * gateway.MAX_BODY_BYTES}, True),
        ({"image": "a" * (gateway.MAX_BODY_BYTES + 1)}, False),
        ({"url": "h" * MAX_LINK_LENGTH}, True),
        ({"url": "h" * (MAX_LINK_LENGTH + 1)}, False),
        ({"images": [{"image": "aaaa"}] * request.MAX_IMAGES}, True),
        ({"images": [{"image": "aaaa"}] * (request.MAX_IMAGES + 1)}, False),
        ({"tops": 1}, True),  # for the function, whose sentence names the field
        ({"image": 7}, False),
        ({"images": {"image": "aaaa"}}, False),
    ],
)
def test_the_gateway_refuses_what_is_too_large_and_leaves_the_rest(
    body: object, is_let_through: bool
) -> None:
    there = rules.api(variant("as it comes"))
    post = there["paths"]["/predict"]["post"]
    assert there["x-amazon-apigateway-request-validators"][post["x-amazon-apigateway-request-validator"]][
        "validateRequestBody"
    ]
    [(kind, content)] = post["requestBody"]["content"].items()
    assert kind == "application/json"
    model = there["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
    assert jsonschema.Draft4Validator(model).is_valid(body) is is_let_through


@pytest.mark.parametrize(
    ("parameter", "value", "is_good"),
    [
        ("ImageUri", EXAMPLE["ImageUri"], True),
        ("ImageUri", "123456789012.dkr.ecr.eu-central-1.amazonaws.com/lenslet:latest", False),
        ("ImageUri", "docker.io/lenslet@sha256:" + "0" * 64, False),
        ("ImageUri", EXAMPLE["ImageUri"][:-1], False),
        ("LinkBuckets", "", True),
        ("LinkBuckets", "photos,archive.example", True),
        ("LinkBuckets", "*", False),
        ("LinkBuckets", "photos, archive", False),
        ("LinkBuckets", "photos/*", False),
        ("FeedbackPlace", "lenslet-feedback/a/b", True),
        ("FeedbackPlace", "lenslet-feedback/*", False),
        ("FeedbackPlace", "photos/corrections", False),
        ("ApiKeyHashes", "", True),
        ("ApiKeyHashes", "0" * 64 + "," + "F" * 64, True),
        ("ApiKeyHashes", "secret", False),
        ("AlarmEmail", "", True),
        ("AlarmEmail", "someone@example.com", True),
        ("AlarmEmail", "someone", False),
    ],
)
def test_what_a_parameter_takes(parameter: str, value: str, is_good: bool) -> None:
    pattern = source()["Parameters"][parameter]["AllowedPattern"]
    assert bool(re.fullmatch(pattern, value)) is is_good  # CloudFormation looks at the whole value


# --- what the function writes, and what is measured

WRITTEN = """
import json, sys
import lambda_func
photo = json.load(open("tests/events/rest_predict_image.json"))
lambda_func.handler(photo, None)
lambda_func.handler({"url": "https://127.0.0.1/"}, None)
lambda_func.models = None  # as a release that fails
lambda_func.handler(photo, None)
"""


def written(environment: dict[str, str]) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-c", WRITTEN], cwd=ROOT, env={"PATH": "", **environment}, capture_output=True, text=True,
        timeout=60, check=True,
    )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_alarms_and_dashboard_look_at_what_the_function_writes() -> None:
    there = variant("as it comes")
    lines = written(there.resources["Function"]["Properties"]["Environment"]["Variables"])
    exist = {
        (metric["Name"], *((name, line[name]) for name in dimensions if name != "Label"))
        for line in lines
        for about in line.get("_aws", {}).get("CloudWatchMetrics", ())
        if about["Namespace"] == "Lenslet"
        for metric in about["Metrics"]
        for dimensions in about["Dimensions"]
    }
    service = ("service", "lenslet-staging")
    assert exist == {
        (name, service)
        for name in ("LinkFailures", "Latency", "Uncertain", "OutOfDistribution", "Predictions")
    }
    for filtered in there.of_type("AWS::Logs::MetricFilter").values():
        exist.add((filtered["MetricTransformations"][0]["MetricName"], service))
    looked_at = set()
    for alarm in there.of_type("AWS::CloudWatch::Alarm").values():
        several = [each["MetricStat"]["Metric"] for each in alarm.get("Metrics", ()) if "MetricStat" in each]
        for metric in several or [alarm]:
            if metric["Namespace"] == "Lenslet":
                dimensions = ((each["Name"], each["Value"]) for each in metric["Dimensions"])
                looked_at.add((metric["MetricName"], *dimensions))
    for widget in json.loads(there.resources["Dashboard"]["Properties"]["DashboardBody"])["widgets"]:
        for metric in widget["properties"].get("metrics", ()):
            if metric[0] == "Lenslet":
                looked_at.add((metric[1], (metric[2], metric[3])))
            elif "expression" in metric[0] and "SEARCH" in metric[0]["expression"]:
                looked_at.add(("Predictions", service))
                assert (
                    '{Lenslet,Label,service} MetricName="Predictions" service="lenslet-staging"'
                    in metric[0]["expression"]
                )
    assert looked_at == exist


def test_failures_are_told_by_the_log() -> None:
    """The filters' fields, held against real lines of the log; CloudWatch alone can run the filters themselves."""
    there = variant("as it comes")
    filters = there.of_type("AWS::Logs::MetricFilter")
    fields = {name: set(re.findall(r"\$\.(\w+)", json.dumps(each))) for name, each in filters.items()}
    assert fields == {
        "Failures": {"message", "status", "service"},
    }
    lines = written(there.resources["Function"]["Properties"]["Environment"]["Variables"])
    answered = [line for line in lines if line.get("message") == "answered"]
    assert [(line["status"], line.get("code")) for line in answered] == [
        (200, None), (422, "link_refused"), (500, "internal_error"),
    ]  # fmt: skip
    assert {line["service"] for line in answered} == {"lenslet-staging"}
    assert {"link_failed", "link_timeout"} == set(LINK_FAILURES) < set(rules.CODES)
    assert "$.status = 500 " in filters["Failures"]["FilterPattern"]


def test_a_canary_is_judged_at_the_traffic_that_the_documentation_names() -> None:
    there = variant("as it comes")
    [group] = there.of_type("AWS::CodeDeploy::DeploymentGroup").values()
    watched = {each["Name"].strip("<>") for each in group["AlarmConfiguration"]["Alarms"]}
    alarms = there.of_type("AWS::CloudWatch::Alarm")
    # A single failure or crash: a tenth of few calls is one.
    for name in ("FailureAlarm", "CrashAlarm"):
        assert (name in watched, alarms[name]["Threshold"], alarms[name]["EvaluationPeriods"]) == (True, 1, 1)
    assert "LatencyAlarm" in watched
    assert alarms["LatencyAlarm"]["Metrics"][0]["Expression"] == "IF(calls >= 20, wait, 0)"
    text = " ".join((ROOT / "docs" / "deploy.md").read_text(encoding="utf-8").split())
    assert "45 calls in five minutes" in text and 0.9**45 < 0.01
    assert "minutes with 20 calls or more" in text


def test_http_api_has_the_paths_of_the_rest_api() -> None:
    there = variant("with everything")
    routes = {each["RouteKey"] for each in there.of_type("AWS::ApiGatewayV2::Route").values()}
    assert routes == {f"{method.upper()} {path}" for path, method, _ in rules.methods(there)}
    [integration] = there.of_type("AWS::ApiGatewayV2::Integration").values()
    assert (
        integration["PayloadFormatVersion"] == "2.0"
    )  # what the function reads (tests/events/http_api_*.json)
    assert (
        there.outputs["HttpEndpoint"]["Value"] == "https://<HttpApi>.execute-api.eu-central-1.amazonaws.com"
    )


def test_function_url_is_of_the_alias() -> None:
    [url] = variant("with options").of_type("AWS::Lambda::Url").values()
    assert (url["TargetFunctionArn"], url["Qualifier"]) == ("<Function>", "live")
    assert variant("with options").resources["FunctionUrl"]["DependsOn"] == "FunctionAliaslive"


def test_release_is_in_what_lambda_compares() -> None:
    """PublishVersion returns the old version where code and configuration are as they were."""
    first, second = (stage(ReleasedAt=time).of_type("AWS::Lambda::Function")["Function"] for time in "12")
    assert first["Description"] != second["Description"]


def test_flood_of_refused_calls_is_noticed() -> None:
    alarm = variant("as it comes").of_type("AWS::CloudWatch::Alarm")["LogAlarm"]
    groups = {each["LogGroupName"] for each in variant("as it comes").of_type("AWS::Logs::LogGroup").values()}
    watched = [each["MetricStat"]["Metric"] for each in alarm["Metrics"] if "MetricStat" in each]
    assert {each["MetricName"] for each in watched} == {"IncomingBytes"}
    assert {each["Dimensions"][0]["Value"] for each in watched} < groups
    assert alarm["Metrics"][0]["Expression"] == "FILL(function, 0) + FILL(access, 0)"


def test_link_failures_are_counted_with_every_answer() -> None:
    lines = written(variant("as it comes").resources["Function"]["Properties"]["Environment"]["Variables"])
    counted = [line["LinkFailures"] for line in lines if "LinkFailures" in line]
    answered = [line.get("code") for line in lines if line.get("message") == "answered"]
    assert answered == [None, "link_refused", "internal_error"]
    assert counted == [[0.0], [0.0], [0.0]]  # a refused link is the caller's


# --- the file itself


@pytest.mark.parametrize("path", [TEMPLATE, *OTHERS], ids=lambda path: path.name)
def test_cloudformation_takes_the_file_as_it_is(path: Path) -> None:
    text = path.read_text()
    assert len(text.encode()) <= 51_200  # a longer one must be put into a bucket first
    tokens = {type(token) for token in yaml.scan(text)}
    assert not tokens & {yaml.AnchorToken, yaml.AliasToken}  # it knows none


def test_summary() -> None:
    lines = summary(transform(read_template(), {})).splitlines()
    assert lines[0].split() == ["type", "always", "if", "asked", "for"]
    counted = {line.split()[0]: line.split()[1:] for line in lines[1:]}
    assert counted["AWS::CloudWatch::Alarm"] == ["7", "1"]
    assert counted["AWS::Lambda::Function"] == ["2", "1"]
    assert counted["together"] == ["39", "25"]


# --- AWS's tools, and checkov


@pytest.fixture(scope="module")
def transformed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole stage after the transform, without conditions: what stands under one would not be looked at."""
    template = transform(read_template(), {})
    for resource in template["Resources"].values():
        resource.pop("Condition", None)
    path = tmp_path_factory.mktemp("template") / "transformed.json"
    path.write_text(json.dumps(template))
    return path


@pytest.mark.slow
def test_sam_validates() -> None:
    done = subprocess.run(
        [ROOT / ".venv-infra/bin/sam", "validate", "--lint", "--template", TEMPLATE],
        env={**os.environ, "SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "eu-central-1"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_cfn_lint_finds_nothing(transformed: Path) -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "cfn-lint", "--format", "json", TEMPLATE, *OTHERS, transformed],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    found = [(Path(each["Filename"]), each["Level"], each["Message"]) for each in json.loads(done.stdout)]
    # Of what SAM wrote, errors alone: its style is SAM's.
    assert [each for each in found if each[:2] != (transformed, "Warning")] == []


def skips(path: Path) -> dict[tuple[str, str], str]:
    """(resource, check) → reason, as they are written in a template."""
    return {
        (name, each["id"]): each["comment"]
        for name, resource in read_template(path)["Resources"].items()
        for each in resource.get("Metadata", {}).get("checkov", {}).get("skip", ())
    }


def bare(template: dict[str, Any], path: Path) -> Path:
    """The template as a file, without conditions and without the reasons that checkov would skip checks for."""
    copy = json.loads(json.dumps(template))
    for resource in copy["Resources"].values():
        resource.pop("Condition", None)
        resource.pop("Metadata", None)
    path.write_text(json.dumps(copy))
    return path


@pytest.mark.slow
def test_checkov_finds_what_reasons_are_written_for_and_nothing_else(tmp_path: Path) -> None:
    whole = [
        bare(source(), tmp_path / "source.json"),
        bare(transform(source(), {}), tmp_path / "transformed.json"),
        *(bare(read_template(path), tmp_path / f"{path.stem}.json") for path in OTHERS),
    ]
    done = subprocess.run(
        [ROOT / ".venv-checkov/bin/checkov", "--skip-download", "--framework", "cloudformation", "--output", "json",
         "--file", TEMPLATE, *OTHERS, *whole],
        capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    results = json.loads(done.stdout)["results"]
    assert len(results["passed_checks"]) > 100
    failed = [
        (Path(each["file_abs_path"]), each["resource"], each["check_id"]) for each in results["failed_checks"]
    ]
    assert [each for each in failed if each[0] not in whole] == []  # with the reasons
    # SAM makes of the API a stage too, and it is the stage that is complained of.
    found = {(resource.rpartition(".")[2].replace("ApiStage", "Api"), check) for _, resource, check in failed}
    reasons: dict[tuple[str, str], str] = {}
    for path in (TEMPLATE, *OTHERS):
        reasons |= skips(path)
    assert reasons.keys() == found
    assert all(re.fullmatch(r"[A-Z].{20,}\.", reason) for reason in reasons.values())
