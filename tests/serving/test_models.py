"""Several models in one deployment: which are served, how a request names one, and what log and metrics say."""

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lambda_func
from lenslet.inference.errors import ArtifactError
from lenslet.serving.models import Models, load_models
from lenslet.serving.request import predict_request_of
from tests.support.function_log import write_metrics
from tests.support.other_models import SHIPPED, write_other_model
from tests.support.photos import RED, flat, saved

ROOT = Path(__file__).parents[2]
EVENT = json.loads((ROOT / "tests" / "events" / "function_url_predict_image.json").read_text())
PHOTO = saved(flat(RED), "PNG")
ENCODED = base64.b64encode(PHOTO).decode()
FORM = (
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + PHOTO + b"\r\n"
    b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nother\r\n--b--'
)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Models:
    folder = write_other_model(tmp_path_factory.mktemp("models") / "other", "other ", name="an older name")
    return load_models({"LENSLET_MODELS": f"other={folder}"}, SHIPPED)


@pytest.fixture(autouse=True)
def served(two: Models, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    write_metrics(monkeypatch)
    monkeypatch.setattr(lambda_func, "models", two)
    yield


def post(body: str | bytes, kind: str = "application/json", query: dict[str, str] | None = None) -> Any:
    headers = {**EVENT["headers"], "content-type": kind}
    return {**EVENT, "headers": headers, "body": body, "queryStringParameters": query}


def answered(event: Any) -> tuple[int, Any]:
    answer = lambda_func.handler(event, None)
    if "statusCode" not in answer:
        return 0, answer
    return answer["statusCode"], json.loads(answer["body"])


OF_OTHER = {
    "query beside JSON": post(json.dumps({"image": ENCODED}), query={"model": "other"}),
    "field of JSON": post(json.dumps({"image": ENCODED, "model": "other"})),
    "query beside a raw photo": post(PHOTO, "image/png", {"model": "other", "top": "2"}),
    "field of a form": post(FORM, "multipart/form-data; boundary=b"),
    "direct invoke": {"image": ENCODED, "model": "other"},
}


@pytest.mark.parametrize("name", OF_OTHER)
def test_named_model_answers(name: str) -> None:
    _, answer = answered(OF_OTHER[name])
    assert all(each["label"].startswith("other ") for each in answer["predictions"])
    assert answer["model"]["name"] == "an older name"


def test_batch_is_answered_by_one_model() -> None:
    _, answer = answered({"images": [{"image": ENCODED}, {"image": "%"}], "model": "other", "top": 1})
    assert answer["results"][0]["predictions"][0]["label"].startswith("other ")
    assert answer["results"][1]["error"]["code"] == "bad_request"


def test_default_model_answers_as_it_did(two: Models) -> None:
    _, plain = answered(post(json.dumps({"image": ENCODED})))
    _, named = answered(post(json.dumps({"image": ENCODED}), query={"model": two.default.artifact.name}))
    assert plain == named
    assert plain["predictions"][0]["label"] in two.default.artifact.labels
    assert lambda_func.handler({**EVENT, "rawPath": "/"}, None)["statusCode"] == 405


REFUSED = {
    "unknown": (
        post(json.dumps({"image": ENCODED}), query={"model": "mine"}),
        "there is no model 'mine' here; those of this service are intel, other",
    ),
    "no text": (
        post(json.dumps({"image": ENCODED, "model": 7})),
        "model must be a name, as GET /models lists them, not 7",
    ),
    "twice": (
        post(json.dumps({"image": ENCODED, "model": "other"}), query={"model": "other"}),
        "model is given in the JSON and in the query",
    ),
    "twice, form": (
        post(FORM, "multipart/form-data; boundary=b", {"model": "other"}),
        "model is given in the form and in the query",
    ),
    "another option": (
        post(json.dumps({"image": ENCODED}), query={"model": "other", "top": "1"}),
        "options go into the JSON body; query parameters, model excepted, are for bodies of type image/* or "
        "multipart/form-data",
    ),
    "a digit is a name": (
        post(PHOTO, "image/png", {"model": "1"}),
        "there is no model '1' here; those of this service are intel, other",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusal(name: str, two: Models) -> None:
    event, sentence = REFUSED[name]
    expected = {"code": "bad_request", "message": sentence.replace("intel", two.default.artifact.name)}
    assert answered(event) == (400, {"error": expected})


def test_models_are_described(two: Models) -> None:
    status, answer = answered({**EVENT, "rawPath": "/models", "requestContext": {"http": {"method": "GET"}}})
    assert status == 200
    assert [each["name"] for each in answer["models"]] == [two.default.artifact.name, "other"]
    assert [each["is_default"] for each in answer["models"]] == [True, False]
    assert answer["models"][1]["description"]["labels"][0].startswith("other ")


def test_log_and_metrics_keep_the_models_apart(two: Models, capsys: pytest.CaptureFixture[str]) -> None:
    answered(OF_OTHER["direct invoke"])
    answered({"image": ENCODED})
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    logged = [line for line in lines if line.get("message") == "answered"]
    other = two.named("other").artifact.version
    assert [line["version"] for line in logged] == [other, two.default.artifact.version]
    assert other != two.default.artifact.version
    metrics = [
        (line.get("Model"), "LinkFailures" in line, "Uncertain" in line) for line in lines if "_aws" in line
    ]
    assert metrics == [
        (None, True, False),
        ("an older name", False, True),
        ("an older name", False, False),  # of its label
        (None, True, True),
        (None, False, False),
    ]


def test_folder_of_model_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_other_model(tmp_path / "dishes", "a ")
    write_other_model(tmp_path / "scenes", "b ")
    (tmp_path / "unfinished").mkdir()
    (tmp_path / ".cache").mkdir()
    (tmp_path / "notes.txt").touch()
    found = load_models({"LENSLET_MODELS": str(tmp_path)}, tmp_path / "scenes")
    assert list(found.by_name) == ["scenes", "dishes"]  # the default one first, and loaded once
    assert found.default.artifact.labels[0].startswith("b ")
    assert (
        f"LENSLET_MODELS: {tmp_path / 'unfinished'} is not served, as it has no model.json"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("text", ["", "  "])
def test_one_model_without_the_setting(text: str) -> None:
    found = load_models({"LENSLET_MODELS": text}, SHIPPED)
    assert list(found.by_name) == [found.default.artifact.name]
    assert found.named(predict_request_of({"image": ENCODED}).model) is found.default


MALFORMED = {
    "a=x,a=y": "LENSLET_MODELS gives a name twice",
    "=x": "LENSLET_MODELS takes a folder of models, or names and folders as dishes=out/dishes, separated by commas",
    "a b=x": "LENSLET_MODELS takes a folder of models",
    "a=": "LENSLET_MODELS takes a folder of models",
    "a=x,": "LENSLET_MODELS takes a folder of models",
    "/nowhere": "LENSLET_MODELS takes names and folders as dishes=out/dishes, or a folder; /nowhere is none",
    "data": "LENSLET_MODELS: there is no model folder in data",
}


@pytest.mark.parametrize("text", MALFORMED)
def test_malformed_setting(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(MALFORMED[text])):
        load_models({"LENSLET_MODELS": text}, SHIPPED)


def test_folder_that_is_no_model_is_named_with_the_setting() -> None:
    with pytest.raises(ArtifactError, match=r"LENSLET_MODELS, mine: .*nowhere.*lenslet convert"):
        load_models({"LENSLET_MODELS": "mine=nowhere"}, SHIPPED)


def test_name_of_the_default_model_is_taken(two: Models, tmp_path: Path) -> None:
    name = two.default.artifact.name
    write_other_model(tmp_path / name, "a ")
    with pytest.raises(
        ValueError, match=f"LENSLET_MODELS calls a model '{name}', as the default model is called"
    ):
        load_models({"LENSLET_MODELS": f"{name}={tmp_path / name}"}, SHIPPED)


def test_folder_whose_name_is_none(tmp_path: Path) -> None:
    write_other_model(tmp_path / "my dishes", "a ")
    with pytest.raises(ValueError, match="'my dishes' cannot be the name of a model"):
        load_models({"LENSLET_MODELS": str(tmp_path)}, SHIPPED)


def test_malformed_setting_stops_the_start() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import lambda_func"],
        cwd=ROOT, env={**os.environ, "LENSLET_MODELS": "a=x,a=y"}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        1,
        "ValueError: LENSLET_MODELS gives a name twice",
    )
