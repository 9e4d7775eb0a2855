"""openapi.yaml against the running function, both ways."""

import copy
import hashlib
import json
from pathlib import Path

import jsonschema
import openapi_spec_validator
import pytest
import yaml

import lambda_func
import lenslet
from lenslet.inference import errors
from lenslet.serving import feedback as feedback_module
from lenslet.serving.access import CORS, Access
from lenslet.serving.contract import read_contract
from lenslet.serving.request import MAX_BRACKETS, MAX_IMAGES, MAX_TOP, predict_request_of
from lenslet.serving.routes import ROUTES

ROOT = Path(__file__).parents[2]
CONTRACT = yaml.safe_load((ROOT / "openapi.yaml").read_text())
EVENTS = {
    path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "tests" / "events").glob("*.json"))
}
DIRECT = [name for name in EVENTS if name.startswith("direct_")]
HTTP = [name for name in EVENTS if name not in DIRECT]
FREE_FORM = "metrics"  # the one object whose fields the contract leaves open
ERRORS = [
    each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.LensletError)
]


@pytest.fixture(autouse=True)
def feedback(monkeypatch, tmp_path):
    monkeypatch.setenv("LENSLET_FEEDBACK", str(tmp_path))
    monkeypatch.setattr(feedback_module, "RATE_LIMIT", feedback_module.RateLimit())


def resolve(node):
    while "$ref" in node:
        target = CONTRACT
        for step in node["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        node = target
    return node


def validate(content, schema):
    jsonschema.Draft202012Validator({**schema, "components": CONTRACT["components"]}).validate(content)


def operation_of(event):
    """(path, method) of an HTTP event, as written in the contract."""
    http = event["requestContext"].get("http", {})
    path = http.get("path") or event["path"]
    return path.removeprefix("/prod") or "/", (http.get("method") or event["httpMethod"]).lower()


def response_of(event, status):
    path, method = operation_of(event)
    if path in CONTRACT["paths"] and method in CONTRACT["paths"][path]:
        return resolve(CONTRACT["paths"][path][method]["responses"][str(status)])
    return resolve(CONTRACT["paths"]["/predict"]["post"]["responses"][str(status)])  # 404, 405


def documented(schema, place=""):
    """The dotted names of all properties of a schema."""
    schema = resolve(schema)
    names = set()
    for name, inner in schema.get("properties", {}).items():
        names |= {place + name} | (documented(inner, f"{place}{name}.") if name != FREE_FORM else set())
    for inner in [*schema.get("oneOf", []), *([schema["items"]] if "items" in schema else [])]:
        names |= documented(inner, place)
    return names


def returned(content, place=""):
    """The dotted names of all properties of an answer."""
    if isinstance(content, list):
        return set().union(*(returned(each, place) for each in content))
    names = set()
    if isinstance(content, dict):
        for name, inner in content.items():
            names |= {place + name} | (returned(inner, f"{place}{name}.") if name != FREE_FORM else set())
    return names


def test_contract_is_valid_openapi():
    openapi_spec_validator.validate(CONTRACT)


def test_contract_is_served_as_json():
    assert read_contract() == CONTRACT, "openapi.yaml has changed: run `make openapi`"
    event = copy.deepcopy(EVENTS["function_url_describe"]) | {"rawPath": "/openapi.json"}
    answer = lambda_func.handler(event, None)
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"]) == CONTRACT


def test_contract_has_the_version_of_the_project():
    assert CONTRACT["info"]["version"] == lenslet.__version__


def test_paths_and_methods_are_those_of_the_function():
    documented_methods = {
        path: {method.upper() for method in operations} for path, operations in CONTRACT["paths"].items()
    }
    assert documented_methods == {path: {*methods, "OPTIONS"} for path, methods in ROUTES.items()}


@pytest.mark.parametrize("name", HTTP)
def test_answer_is_as_documented(name):
    answer = lambda_func.handler(EVENTS[name], None)
    response = response_of(EVENTS[name], answer["statusCode"])
    if "content" not in response:
        assert answer["body"] == ""
    else:
        validate(json.loads(answer["body"]), response["content"]["application/json"]["schema"])


@pytest.mark.parametrize("name", HTTP)
def test_headers_are_as_documented(name):
    answer = lambda_func.handler(EVENTS[name], None)
    headers = response_of(EVENTS[name], answer["statusCode"])["headers"]
    sent = {header: value for header, value in answer["headers"].items() if header != "Content-Type"}
    assert sent.keys() == headers.keys() - {"Vary"}  # that one comes where origins are listed
    for header, value in sent.items():
        validate(value, resolve(headers[header])["schema"])


KEY_HASH = hashlib.sha256(b"the right key").digest()


@pytest.mark.parametrize(
    ("name", "headers", "status"),
    [
        ("function_url_describe", {}, 401),
        ("function_url_predict_image", {}, 401),
        ("http_api_unknown_path", {}, 401),
        ("rest_describe", {}, 403),
        ("rest_predict_image", {}, 403),
        ("function_url_predict_image", {"authorization": "Bearer the right key"}, 200),
        ("http_api_preflight", {}, 204),
        ("http_api_preflight", {"origin": "https://other.example"}, 204),
    ],
)
def test_answer_is_as_documented_where_keys_and_origins_are_set(monkeypatch, name, headers, status):
    origin = "https://app.example"
    monkeypatch.setattr(lambda_func, "access", Access((KEY_HASH,), frozenset({origin})))
    event = copy.deepcopy(EVENTS[name])
    event["headers"] |= {"origin": origin} | headers
    answer = lambda_func.handler(event, None)
    assert answer["statusCode"] == status
    response = response_of(event, status)
    assert answer["headers"].keys() - {"Content-Type"} <= response["headers"].keys()
    for header in answer["headers"].keys() - {"Content-Type"}:
        validate(answer["headers"][header], resolve(response["headers"][header])["schema"])
    if answer["body"]:
        validate(json.loads(answer["body"]), response["content"]["application/json"]["schema"])


@pytest.mark.parametrize("name", DIRECT)
def test_direct_answer_is_as_documented(name):
    validate(lambda_func.handler(EVENTS[name], None), {"$ref": "#/components/schemas/DirectAnswer"})


def test_no_field_is_undocumented_and_none_is_only_documented():
    answers = [lambda_func.handler(event, None) for event in EVENTS.values()]
    contents = [
        json.loads(answer["body"] or "{}") if "statusCode" in answer else answer for answer in answers
    ]
    schemas = ["Prediction", "Results", "Error", "Description", "Models", "Health", "Feedback"]
    many = {"prediction_set_size", "results.prediction_set_size"}  # tests/serving/test_many_labels.py
    assert many.union(*(returned(content) for content in contents)) == set().union(
        *(documented({"$ref": f"#/components/schemas/{schema}"}) for schema in schemas)
    )


def test_every_error_has_its_code_and_its_status():
    codes = CONTRACT["components"]["schemas"]["Error"]["properties"]["error"]["properties"]["code"]["enum"]
    assert sorted(codes) == sorted(each.code for each in ERRORS)
    responses = {}
    for path in ("/predict", "/feedback"):
        responses |= CONTRACT["paths"][path]["post"]["responses"]
    assert sorted(responses) == sorted({"200", *(str(each.status) for each in ERRORS)})
    for each in ERRORS:
        assert f"`{each.code}`" in resolve(responses[str(each.status)])["description"]


@pytest.mark.parametrize("name", ["direct_predict_image", "direct_predict_explained", "direct_predict_batch"])
def test_good_request_is_documented(name):
    validate(EVENTS[name], {"$ref": "#/components/schemas/PredictRequest"})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("http_api_unknown_field", "'tops' was unexpected"),
        ("http_api_top_is_text", "'3' is not of type 'integer'"),
        ("http_api_two_sources", "is valid under each of"),
        ("http_api_json_is_a_list", "is not of type 'object'"),
    ],
)
def test_refused_request_is_not_documented(name, message):
    with pytest.raises(jsonschema.ValidationError, match=message):
        validate(json.loads(EVENTS[name]["body"]), {"$ref": "#/components/schemas/PredictRequest"})


def test_limits_are_those_of_the_function():
    schemas = CONTRACT["components"]["schemas"]
    assert schemas["PredictRequest"]["properties"]["images"]["maxItems"] == MAX_IMAGES
    assert schemas["Results"]["properties"]["results"]["maxItems"] == MAX_IMAGES
    assert schemas["Top"]["maximum"] == MAX_TOP
    assert f"{MAX_BRACKETS:,} brackets" in CONTRACT["info"]["description"]
    headers = CONTRACT["components"]["headers"]
    documented_cors = [
        headers[name]["schema"]["const"]
        for name in ("AllowMethods", "AllowHeaders", "MaxAge", "ExposeHeaders")
    ]
    assert documented_cors == list(CORS.values())


def test_examples_of_requests_are_accepted():
    examples = CONTRACT["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    for example in examples.values():
        validate(example["value"], {"$ref": "#/components/schemas/PredictRequest"})
        request = predict_request_of(example["value"])
        assert len(request.photos) == len(example["value"].get("images", [None]))
    assert "predictions" in lambda_func.handler(examples["image"]["value"], None)
    assert "explanation" in lambda_func.handler(examples["dataUrl"]["value"], None)


def test_examples_of_answers_are_valid():
    for operations in CONTRACT["paths"].values():
        for operation in operations.values():
            for response in map(resolve, operation["responses"].values()):
                content = response.get("content", {}).get("application/json", {})
                for example in content.get("examples", {}).values():
                    validate(example["value"], content["schema"])
    for example in CONTRACT["components"]["schemas"]["Error"]["examples"]:
        validate(example, {"$ref": "#/components/schemas/Error"})
