"""Rules for a stage: each takes a resolved stack and names what violates it."""

import json
import re
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

from lenslet.inference.decode import FORMATS
from tests.support.stack import Stack

ROOT = Path(__file__).parents[2]
CONTRACT = yaml.safe_load((ROOT / "openapi.yaml").read_text())["components"]["schemas"]["Error"]
CODES = CONTRACT["properties"]["error"]["properties"]["code"]["enum"]

Findings = Iterator[str]
OPEN = {("/health", "get")} | {(path, "options") for path in ("/", "/health", "/predict", "/feedback")}
# What an access log may hold of a request: no query, address, browser or key.
LOGGED = {
    "requestId", "requestTime", "httpMethod", "resourcePath", "routeKey", "status", "error.responseType",
    "identity.apiKeyId", "responseLatency", "integrationLatency", "responseLength",
}  # fmt: skip
ENDINGS = {
    "JPEG": [".jpg", ".jpeg", ".JPG", ".JPEG"], "PNG": [".png", ".PNG"], "WEBP": [".webp"], "GIF": [".gif"],
    "BMP": [".bmp"], "TIFF": [".tif", ".tiff"],
}  # fmt: skip
# AWS's own policies, whose wildcards are AWS's.
MANAGED = (
    "AWSCodeDeployRoleForLambdaLimited",
    "AmazonAPIGatewayPushToCloudWatchLogs",
    "AmazonSSMManagedInstanceCore",
)
# Actions that know no resource, or none before it exists.
WITHOUT_RESOURCE = {
    "ecr:GetAuthorizationToken", "cloudwatch:DescribeAlarms", "logs:DescribeLogGroups", "logs:CreateLogDelivery",
    "logs:GetLogDelivery", "logs:UpdateLogDelivery", "logs:DeleteLogDelivery", "logs:ListLogDeliveries",
    "logs:DescribeResourcePolicies", "lambda:GetAccountSettings",
    "ssm:GetCommandInvocation", "cloudwatch:PutMetricData",
}  # fmt: skip


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def api(stack: Stack) -> dict[str, Any]:
    [found] = stack.of_type("AWS::ApiGateway::RestApi").values()
    body: dict[str, Any] = found["Body"]
    return body


def methods(stack: Stack) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in api(stack)["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def policies(stack: Stack) -> Iterator[tuple[str, dict[str, Any]]]:
    """(logical name of role or policy, statement), trust left out."""
    for name, role in stack.of_type("AWS::IAM::Role").items():
        for policy in role.get("Policies", ()):
            yield from ((name, each) for each in as_list(policy["PolicyDocument"]["Statement"]))
    for name, policy in stack.of_type("AWS::IAM::ManagedPolicy").items():
        yield from ((name, each) for each in as_list(policy["PolicyDocument"]["Statement"]))


def function_settings(stack: Stack) -> dict[str, str]:
    settings: dict[str, str] = stack.of_type("AWS::Lambda::Function")["Function"]["Environment"]["Variables"]
    return settings


def a_key_is_needed(stack: Stack) -> Findings:
    for path, method, operation in methods(stack):
        is_open = {"api_key": []} not in operation.get("security", [])
        if is_open != ((path, method) in OPEN):
            yield f"{method} {path} is {'open' if is_open else 'closed'}"
    has_keys = bool(function_settings(stack)["LENSLET_API_KEYS"])
    for name, route in stack.of_type("AWS::ApiGatewayV2::Route").items():
        method, path = route["RouteKey"].lower().split()
        # The function itself asks for a key where it knows one.
        is_open = route["AuthorizationType"] != "AWS_IAM" and not has_keys
        if is_open != ((path, method) in OPEN) and not has_keys:
            yield f"{name}: {method} {path} is {'open' if is_open else 'closed'}"
    [plan] = stack.of_type("AWS::ApiGateway::UsagePlan").values()
    [link] = stack.of_type("AWS::ApiGateway::UsagePlanKey").values()
    if not plan["ApiStages"] or not link["KeyId"]:
        yield "the key is in no plan of this stage"


def no_role_has_a_wildcard(stack: Stack) -> Findings:
    for name, statement in policies(stack):
        actions = as_list(statement.get("Action", "*"))
        yield from (f"{name} may {action}" for action in actions if "*" in action)
        for resource in as_list(statement.get("Resource", "*")):
            if resource == "*" and not WITHOUT_RESOURCE.issuperset(actions):
                yield f"{name} may {actions} everything"
    for name, role in stack.of_type("AWS::IAM::Role").items():
        for arn in role.get("ManagedPolicyArns", ()):
            if not arn.startswith("<") and not arn.endswith(MANAGED):
                yield f"{name} has {arn}"


def trust_is_narrow(stack: Stack) -> Findings:
    for name, role in stack.of_type("AWS::IAM::Role").items():
        for statement in role["AssumeRolePolicyDocument"]["Statement"]:
            principal = statement["Principal"]
            if principal == "*" or "AWS" in principal:
                yield f"{name} trusts {principal}"
            if "Federated" in principal:
                claims = statement.get("Condition", {}).get("StringEquals", {})
                for subject in as_list(claims.get("token.actions.githubusercontent.com:sub", "*")):
                    if not re.fullmatch(r"repo:[^*:]+:environment:(staging|production|retraining)", subject):
                        yield f"{name} trusts {subject}"
                if claims.get("token.actions.githubusercontent.com:aud") != "sts.amazonaws.com":
                    yield f"{name} takes tokens that are meant for others"


def logs_end(stack: Stack) -> Findings:
    for name, group in stack.of_type("AWS::Logs::LogGroup").items():
        if not group.get("RetentionInDays"):
            yield f"{name} has no retention limit"
    for name, function in stack.of_type("AWS::Lambda::Function").items():
        group = function.get("LoggingConfig", {}).get("LogGroup", "")
        if group.strip("<>") not in stack.of_type("AWS::Logs::LogGroup"):
            yield f"{name} logs into a group that is not of this stack"


def the_function_ends_before_the_gateway(stack: Stack) -> Findings:
    functions = stack.of_type("AWS::Lambda::Function")
    for path, method, operation in methods(stack):
        limit_ms = operation["x-amazon-apigateway-integration"].get("timeoutInMillis", 29_000)
        if not functions["Function"]["Timeout"] * 1000 < limit_ms <= 29_000:
            yield f"{method} {path} gives up after {limit_ms} ms"
    for name, integration in stack.of_type("AWS::ApiGatewayV2::Integration").items():
        if not functions["Function"]["Timeout"] * 1000 < integration["TimeoutInMillis"] <= 30_000:
            yield f"{name} gives up after {integration['TimeoutInMillis']} ms"


def cost_of_untrusted_callers_is_bounded(stack: Stack) -> Findings:
    for name, function in stack.of_type("AWS::Lambda::Function").items():
        # Of the image, which callers reach; what CodeDeploy calls once a release reserves nothing.
        if "ReservedConcurrentExecutions" not in function and "ImageUri" in function["Code"]:
            yield f"{name} has no reserved concurrency"
    [stage] = stack.of_type("AWS::ApiGateway::Stage").values()
    everything = [
        each for each in stage["MethodSettings"] if (each["ResourcePath"], each["HttpMethod"]) == ("/*", "*")
    ]
    if not everything or not {"ThrottlingRateLimit", "ThrottlingBurstLimit"} <= everything[0].keys():
        yield "the stage has no throttle"
    for name, stage in stack.of_type("AWS::ApiGatewayV2::Stage").items():
        limits = stage.get("DefaultRouteSettings", {})
        if not {"ThrottlingRateLimit", "ThrottlingBurstLimit"} <= limits.keys():
            yield f"{name} has no throttle"
    [plan] = stack.of_type("AWS::ApiGateway::UsagePlan").values()
    if not plan.get("Throttle") or plan.get("Quota", {}).get("Period") != "MONTH":
        yield "the plan has no throttle or no quota"


def the_gateways_errors_are_readable(stack: Stack) -> Findings:
    given = api(stack).get("x-amazon-apigateway-gateway-responses", {})
    yield from (f"{name} is AWS's own" for name in ("DEFAULT_4XX", "DEFAULT_5XX") if name not in given)
    for name, answer in given.items():
        if answer["responseParameters"].get("gatewayresponse.header.Access-Control-Allow-Origin") != "'*'":
            yield f"{name} can't be read by pages"
        text = answer["responseTemplates"]["application/json"]
        error = json.loads(text.replace("$context.error.messageString", '"Forbidden"'))["error"]
        if not (error["code"] in CODES and error["message"]):
            yield f"{name} has a code that is not in the contract: {error['code']}"


def logs_hold_no_query(stack: Stack) -> Findings:
    [stage] = stack.of_type("AWS::ApiGateway::Stage").values()
    formats = [stage["AccessLogSetting"]["Format"]]
    formats += [
        each["AccessLogSettings"]["Format"] for each in stack.of_type("AWS::ApiGatewayV2::Stage").values()
    ]
    for each in formats:
        logged = json.loads(each).values()
        for variable in re.findall(r"\$(?:context\.)?([\w.]+)", " ".join(logged)):
            if variable not in LOGGED:
                yield f"the access log has {variable}"
    for settings in stage["MethodSettings"]:
        if settings.get("DataTraceEnabled") or settings.get("LoggingLevel", "OFF") != "OFF":
            yield "execution logs are on"


def photos_are_binary_and_json_is_text(stack: Stack) -> Findings:
    types = api(stack).get("x-amazon-apigateway-binary-media-types", [])
    missing = {"multipart/form-data", *(f"image/{name.lower()}" for name in FORMATS)} - set(types)
    yield from (f"{name} would arrive as broken text" for name in sorted(missing))
    for name in ("application/json", "text/plain"):
        if any(fnmatchcase(name, pattern) for pattern in types):
            yield f"{name} would arrive in base64"


def alarms_tell(stack: Stack) -> Findings:
    for name, alarm in stack.of_type("AWS::CloudWatch::Alarm").items():
        if alarm.get("AlarmActions") != ["<AlarmTopic>"]:
            yield f"{name} tells nobody"
        if alarm.get("TreatMissingData") != "notBreaching":
            yield f"{name} alarms without traffic"


def releases_are_tried_first(stack: Stack) -> Findings:
    [group] = stack.of_type("AWS::CodeDeploy::DeploymentGroup").values()
    if group["DeploymentConfigName"] != "CodeDeployDefault.LambdaCanary10Percent5Minutes":
        yield f"a release goes out by {group['DeploymentConfigName']}"
    watched = {each["Name"].strip("<>") for each in group.get("AlarmConfiguration", {}).get("Alarms", ())}
    if not watched or not watched <= stack.of_type("AWS::CloudWatch::Alarm").keys():
        yield f"a release is watched by {watched or 'nothing'}"
    if "DEPLOYMENT_STOP_ON_ALARM" not in group["AutoRollbackConfiguration"]["Events"]:
        yield "an alarm takes nothing back"
    if "CodeDeployLambdaAliasUpdate" not in stack.resources["FunctionAliaslive"].get("UpdatePolicy", {}):
        yield "the alias is moved at once"


def buckets_are_closed(stack: Stack) -> Findings:
    refused = {
        each["Bucket"]
        for each in stack.of_type("AWS::S3::BucketPolicy").values()
        for statement in each["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny"
        and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    }
    for name, bucket in stack.of_type("AWS::S3::Bucket").items():
        closed = bucket.get("PublicAccessBlockConfiguration", {})
        if len(closed) != 4 or not all(closed.values()):
            yield f"{name} may be made public"
        if not bucket.get("BucketEncryption"):
            yield f"{name} is not encrypted"
        if not any(
            "ExpirationInDays" in rule for rule in bucket.get("LifecycleConfiguration", {}).get("Rules", ())
        ):
            yield f"{name} is never emptied"
        if f"<{name}>" not in refused:
            yield f"{name} answers plain http"


def an_answer_wakes_nothing(stack: Stack) -> Findings:
    endings = []
    for bucket in stack.of_type("AWS::S3::Bucket").values():
        for wanted in bucket["NotificationConfiguration"]["LambdaConfigurations"]:
            rules = wanted.get("Filter", {}).get("S3Key", {}).get("Rules", ())
            suffix = "".join(rule["Value"] for rule in rules if rule["Name"] == "suffix")
            endings.append(suffix)
            if "photo.jpg.json".endswith(suffix):
                yield f"an answer is taken for a photo: {rules}"
        yield from (f"{each} is not noticed" for each in chain(*ENDINGS.values()) if each not in endings)
    for name, statement in policies(stack):
        if name == "UploadRole" and "s3:PutObject" in as_list(statement["Action"]):
            places = as_list(statement["Resource"])
            yield from (f"{name} may write over {each}" for each in places if not each.endswith("/*.json"))


def nobody_is_let_in_by_a_side_door(stack: Stack) -> Findings:
    has_keys = bool(function_settings(stack)["LENSLET_API_KEYS"])
    for name, url in stack.of_type("AWS::Lambda::Url").items():
        if url["AuthType"] != "AWS_IAM" and not has_keys:
            yield f"{name} needs no key"
    for name, permission in stack.of_type("AWS::Lambda::Permission").items():
        by_url = permission.get("FunctionUrlAuthType") or permission.get("InvokedViaFunctionUrl")
        if permission["Principal"] == "*" and not (by_url and has_keys):
            yield f"{name} lets everybody in"
        if permission["Principal"] != "*" and not (
            permission.get("SourceArn") or permission.get("SourceAccount")
        ):
            yield f"{name} lets {permission['Principal']} in for whomever"


def stages_share_no_name(stack: Stack) -> Findings:
    stage = stack.parameters["Stage"]
    keys = (
        "Name",
        "FunctionName",
        "LogGroupName",
        "AlarmName",
        "DashboardName",
        "TopicName",
        "BucketName",
        "UsagePlanName",
    )
    for name, resource in stack.resources.items():
        for key in keys:
            given = resource.get("Properties", {}).get(key)
            if (
                resource["Type"] != "AWS::Lambda::Alias"
                and isinstance(given, str)
                and "<" not in given
                and stage not in given
            ):
                yield f"{name} is named {given} in both stages"
    service = [
        each["Environment"]["Variables"].get("LENSLET_SERVICE_NAME", "")
        for each in stack.of_type("AWS::Lambda::Function").values()
        if "ImageUri" in each["Code"]
    ]
    if len(set(service)) != len(service) or not all(stage in each for each in service):
        yield f"the metrics of {service} are mixed up"


# Of these, AWS draws the numbers, so that roles can tell the stages' apart by a tag only.
NUMBERED = (
    "AWS::ApiGateway::RestApi", "AWS::ApiGateway::Stage", "AWS::ApiGatewayV2::Api", "AWS::ApiGatewayV2::Stage",
)  # fmt: skip


def apis_carry_their_stage(stack: Stack) -> Findings:
    stage = stack.parameters["Stage"]
    for kind in NUMBERED:
        for name, resource in stack.of_type(kind).items():
            tags = resource.get("Tags", {})
            if isinstance(tags, list):
                tags = {each["Key"]: each["Value"] for each in tags}
            if tags.get("lenslet-stage") != stage:
                yield f"{name} does not say that it is of {stage}"


def names_of_the_account_carry_the_region(stack: Stack) -> Findings:
    """IAM's names, dashboards and budgets belong to the account: a second region could not have them, too."""
    named = [
        *((name, each.get("RoleName")) for name, each in stack.of_type("AWS::IAM::Role").items()),
        *((name, each.get("ManagedPolicyName")) for name, each in stack.of_type("AWS::IAM::ManagedPolicy").items()),
        *((name, each["DashboardName"]) for name, each in stack.of_type("AWS::CloudWatch::Dashboard").items()),
        *((name, each["Budget"]["BudgetName"]) for name, each in stack.of_type("AWS::Budgets::Budget").items()),
        *((name, each["BucketName"]) for name, each in stack.of_type("AWS::S3::Bucket").items()),
    ]  # fmt: skip
    for name, given in named:
        if given and not given.endswith("-eu-central-1"):
            yield f"{name} is named {given} in every region"


def a_version_is_asked_first(stack: Stack) -> Findings:
    policy = (
        stack.resources["FunctionAliaslive"].get("UpdatePolicy", {}).get("CodeDeployLambdaAliasUpdate", {})
    )
    hook = stack.of_type("AWS::Lambda::Function").get(str(policy.get("BeforeAllowTrafficHook")).strip("<>"))
    if hook is None:
        yield "no hook runs before traffic"
    elif not hook["FunctionName"].startswith("CodeDeployHook_"):
        yield "AWS's policy for CodeDeploy does not allow it to call the hook"
    elif not re.match(r"<FunctionVersion\w+>", hook["Environment"]["Variables"].get("NEW_VERSION", "")):
        yield "the hook does not know the new version"


def outputs_hold_no_secret(stack: Stack) -> Findings:
    for name, output in stack.outputs.items():
        if re.search(r"ApiKey\.|Value>|Secret|Password", str(output["Value"])):
            yield f"{name} is {output['Value']}"


def no_circle(stack: Stack) -> Findings:
    """CloudFormation makes no stack in which two resources wait for each other."""
    waits = {}
    for name, resource in stack.resources.items():
        known = re.findall(r"<(\w+)[.>]", json.dumps(resource))
        waits[name] = {*known, *as_list(resource.get("DependsOn", []))} & stack.resources.keys() - {name}
    while waits:
        ready = {name for name, needs in waits.items() if not needs}
        if not ready:
            yield f"these wait for each other: {sorted(waits)}"
            return
        waits = {name: needs - ready for name, needs in waits.items() if name not in ready}


RULES: tuple[Callable[[Stack], Findings], ...] = (
    a_key_is_needed, no_role_has_a_wildcard, trust_is_narrow, logs_end, the_function_ends_before_the_gateway,
    cost_of_untrusted_callers_is_bounded, the_gateways_errors_are_readable, logs_hold_no_query,
    photos_are_binary_and_json_is_text, alarms_tell, releases_are_tried_first, buckets_are_closed,
    an_answer_wakes_nothing, nobody_is_let_in_by_a_side_door, stages_share_no_name, outputs_hold_no_secret, no_circle,
    apis_carry_their_stage, names_of_the_account_carry_the_region, a_version_is_asked_first,
)  # fmt: skip
# Of every template that makes roles.
ROLE_RULES: tuple[Callable[[Stack], Findings], ...] = (
    no_role_has_a_wildcard, trust_is_narrow, no_circle, outputs_hold_no_secret, names_of_the_account_carry_the_region,
)  # fmt: skip
