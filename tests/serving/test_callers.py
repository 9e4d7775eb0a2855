"""Requests as gateways, browsers and programs send them: event → status, code, and the sentence with the remedy."""

import base64
import copy
import gzip
import json
import re
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

import lambda_func
from lenslet.inference.errors import NotAnImageLink, RequestTooLarge
from lenslet.serving.formats import read_formats
from lenslet.serving.gateway import HttpRequest, read_base_path
from lenslet.serving.links.delivered import check_delivered
from lenslet.serving.routes import ROUTES
from tests.support.function_log import write_metrics
from tests.support.heif import avif, heic
from tests.support.photos import RED, flat

EVENTS = Path(__file__).parents[1] / "events"
Event = dict[str, Any]


@pytest.fixture(autouse=True)
def log_to_stdout(monkeypatch: pytest.MonkeyPatch) -> None:
    write_metrics(monkeypatch)


def event_file(name: str) -> Event:
    event: Event = json.loads((EVENTS / f"{name}.json").read_text())
    return copy.deepcopy(event)


def noise(image_format: str = "JPEG") -> bytes:
    """A picture whose base64 has plus signs, slashes and padding."""
    file = BytesIO()
    pixels = np.random.default_rng(1).integers(0, 256, (30, 40, 3), np.uint8)
    Image.fromarray(pixels).save(file, image_format)
    data = file.getvalue()
    return data + bytes(-(len(data) + 1) % 3)  # decoders ignore what follows


PHOTO = noise()
ENCODED = base64.b64encode(PHOTO).decode()
assert {"+", "/", "="} <= set(ENCODED)


def rest(path: str, resource: str | None, method: str = "GET", proxy: str | None = None) -> Event:
    """An event of a REST API; `path` is what the caller asked for, with the base path of a custom domain."""
    event = event_file("rest_describe")
    parameters = {"proxy": proxy} if proxy else None
    return event | {"path": path, "resource": resource, "httpMethod": method, "pathParameters": parameters}


def http_api(path: str, route: str, proxy: str | None = None) -> Event:
    event = event_file("http_api_health") | {"rawPath": path, "routeKey": route}
    return event | ({"pathParameters": {"proxy": proxy}} if proxy else {})


def balancer(multi: bool = False, **changes: Any) -> Event:
    """An event of a load balancer: headers and query as lists alone where the target group says so."""
    headers = {"host": "photos.example", "content-type": changes.pop("kind", "application/json")}
    query = changes.pop("query", {})
    lists = {
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "multiValueQueryStringParameters": {name: [value] for name, value in query.items()},
    }
    group = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/lenslet/6d0ecf831eec9f09"
    return {
        "requestContext": {"elb": {"targetGroupArn": group}},
        "httpMethod": "POST",
        "path": "/predict",
        **(lists if multi else {"headers": headers, "queryStringParameters": query}),
        "body": json.dumps({"image": ENCODED}),
        "isBase64Encoded": False,
    } | changes


def raw(body: str | bytes, is_base64: bool = False, kind: str = "image/jpeg", **changes: Any) -> Event:
    event = event_file("function_url_predict_image")
    event["headers"]["content-type"] = kind
    return event | {"body": body, "isBase64Encoded": is_base64} | changes


def in_json(image: str) -> Event:
    return raw(json.dumps({"image": image}), kind="application/json")


def part(
    content: bytes, disposition: str = 'form-data; name="file"; filename="a.jpg"', more: str = ""
) -> bytes:
    head = f"\r\n--x-boundary\r\nContent-Disposition: {disposition}\r\n{more}\r\n"
    return head.encode() + content


END = b"\r\n--x-boundary--\r\n"


def as_text(photo: bytes, code: str) -> bytes:
    """What programs make of bytes that they take for text of this code."""
    return photo.decode(code, errors="replace").encode()


def form(*parts: bytes, end: bytes = END, kind: str = "boundary=x-boundary", **changes: Any) -> Event:
    body = base64.b64encode(b"".join(parts).removeprefix(b"\r\n") + end).decode()
    return raw(body, True, f"multipart/form-data; {kind}", **changes)


LOST = "the photo's bytes were turned into text on the way"
AS_TEXT = "the body is the photo in base64, not its bytes: send it as JSON"
INVALID = "the image is not valid base64"
NO_FORM = "the body is not the multipart/form-data that its Content-Type declares, or is cut off"
TOP = {"top": "1"}
OPTION = 'form-data; name="top"'
NO_FILE = part(b"", 'form-data; name="file"; filename=""')
NO_JSON = "the body is not JSON (UTF-8); a photo itself needs Content-Type: image/*, and of a form let the HTTP client"
GZIP = {"content-encoding": "gzip"}

# Case → (event, status, code, beginning of the sentence).
CALLERS: dict[str, tuple[Event, int, str | None, str]] = {
    # Custom domains with a base path
    "REST API, route": (rest("/photos/health", "/health"), 200, None, ""),
    "REST API, route of the root": (rest("/photos", "/"), 200, None, ""),
    "REST API, greedy route": (rest("/photos/v1/health", "/{proxy+}", proxy="health"), 200, None, ""),
    "REST API, greedy route to nothing": (
        rest("/photos/other", "/{proxy+}", proxy="other"), 404, "not_found", "there is nothing at this path",
    ),
    "HTTP API, route": (http_api("/photos/health", "GET /health"), 200, None, ""),
    "HTTP API, route and stage": (http_api("/prod/photos/health", "ANY /health"), 200, None, ""),
    "HTTP API, greedy route": (http_api("/photos/health", "ANY /{proxy+}", "health"), 200, None, ""),
    "HTTP API, default route": (
        http_api("/photos/health", "$default"), 404, "not_found",
        f"there is nothing at this path; there is at {', '.join(ROUTES)}: if the service stands below another path, "
        "its operator names that in LENSLET_BASE_PATH",
    ),
    # Load balancers
    "balancer": (balancer(), 200, None, ""),
    "balancer, multi-value": (balancer(True), 200, None, ""),
    "balancer, raw photo": (balancer(body=ENCODED, isBase64Encoded=True, kind="image/jpeg", query=TOP), 200, None, ""),
    "balancer, raw photo, multi-value": (
        balancer(True, body=ENCODED, isBase64Encoded=True, kind="image/jpeg", query=TOP), 200, None, "",
    ),
    "balancer, query percent-encoded": (
        balancer(body=ENCODED, isBase64Encoded=True, kind="image/jpeg", query={"top": "%31"}), 200, None, "",
    ),
    "balancer, health check": (balancer(httpMethod="GET", path="/health", body=""), 200, None, ""),
    # Bodies that a gateway or a client has mangled
    "gateway without binary types": (raw(PHOTO.decode(errors="replace")), 400, "bad_request", LOST),
    "gateway without binary types, GIF": (
        raw(noise("GIF").decode(errors="replace"), kind="image/gif"), 400, "bad_request", LOST,
    ),
    "client that sends text, to a gateway with binary types": (
        raw(base64.b64encode(PHOTO.decode(errors="replace").encode()).decode(), True), 400, "bad_request", LOST,
    ),
    "client that sends text, to lenslet serve": (
        raw(PHOTO.decode(errors="replace").encode()), 400, "bad_request", LOST,
    ),
    "mangled bytes in JSON": (
        in_json(base64.b64encode(PHOTO.decode(errors="replace").encode()).decode()), 400, "bad_request", LOST,
    ),
    **{
        f"{name} that was text in {code}": (
            raw(base64.b64encode(as_text(noise(name), code)).decode(), True), 400, "bad_request", LOST,
        )
        for name in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP") for code in ("utf-8", "latin-1", "cp1252")
    },
    "JSON as a photo": (
        raw(json.dumps({"image": ENCODED})), 400, "bad_request",
        "the body is JSON, but its Content-Type is that of a photo: let the HTTP client set",
    ),
    "form as a photo": (
        raw(base64.b64encode(part(PHOTO)[2:] + END).decode(), True), 400, "bad_request",
        "the body is a form, but its Content-Type is that of a photo: let the HTTP client set",
    ),
    "photo without its type": (raw(ENCODED, True, "application/octet-stream"), 400, "bad_request", NO_JSON),
    "compressed photo": (
        raw(base64.b64encode(gzip.compress(PHOTO)).decode(), True) | {"headers": GZIP | {"content-type": "image/png"}},
        400, "bad_request", "the body is compressed (Content-Encoding), which is not read here: send it as it is",
    ),
    "compressed JSON": (
        raw(base64.b64encode(gzip.compress(b"{}")).decode(), True) | {"headers": GZIP}, 400, "bad_request",
        "the body is compressed (Content-Encoding), which is not read here: send it as it is",
    ),
    "base64 as the body": (raw(ENCODED), 400, "bad_request", AS_TEXT),
    "data URL as the body": (raw(f"data:image/jpeg;base64,{ENCODED}"), 400, "bad_request", AS_TEXT),
    "base64 of base64": (in_json(base64.b64encode(ENCODED.encode()).decode()), 400, "bad_request", AS_TEXT),
    # Base64
    "URL-safe alphabet": (in_json(ENCODED.replace("+", "-").replace("/", "_")), 200, None, ""),
    "no padding": (in_json(ENCODED.rstrip("=")), 200, None, ""),
    "line breaks": (in_json(ENCODED[:76] + "\r\n" + ENCODED[76:] + "\n"), 200, None, ""),
    "white space around it": (in_json(f" \n{ENCODED} "), 200, None, ""),
    "white space around a data URL": (in_json(f"\ndata:image/jpeg;base64,{ENCODED} "), 200, None, ""),
    "plus signs that became spaces": (
        in_json(ENCODED.replace("+", " ")), 400, "bad_request", "the image has spaces within its base64",
    ),
    "indented lines": (
        in_json(ENCODED[:76] + "\n  " + ENCODED[76:]), 400, "bad_request", "the image has spaces within its base64",
    ),
    "percent-encoded": (
        in_json(quote(ENCODED, safe="")), 400, "bad_request", "the image has %2B, %2F or %3D within its base64",
    ),
    "link as image": (
        in_json("https://a.example/a.jpg"), 400, "bad_request", "the image is a link, not base64: send it as url",
    ),
    "path as image": (
        in_json("photo.jpg"), 400, "bad_request", f"{INVALID}: its character number 6, '.', is none of base64",
    ),
    "data URL in capitals": (in_json(f"DATA:image/jpeg; BASE64,{ENCODED}"), 200, None, ""),
    "data URL as url": (
        raw(json.dumps({"url": f"data:image/jpeg;base64,{ENCODED}"}), kind="application/json"), 422, "link_refused",
        "only http://, https:// and s3:// links are fetched; a photo itself goes into image",
    ),
    "literal of Python": (in_json(f"b'{ENCODED}'"), 400, "bad_request", "the image is a bytes literal of Python, b'…'"),
    "one character too few": (
        in_json(ENCODED.rstrip("=")[:-2]), 400, "bad_request", f"{INVALID}: it is cut off, or padding stands before",
    ),
    "hexadecimal": (in_json(PHOTO.hex()), 415, "not_an_image", "the data are not an image we read"),
    # Forms
    "form": (form(part(PHOTO)), 200, None, ""),
    "form with image": (form(part(PHOTO, 'form-data; name="image"; filename="a.jpg"')), 200, None, ""),
    "form of curl": (form(part(PHOTO, more="Content-Type: image/jpeg\r\n")), 200, None, ""),
    "form, options": (form(part(PHOTO), part(b"1", OPTION)), 200, None, ""),
    "form, options in the query": (form(part(PHOTO), queryStringParameters=TOP), 200, None, ""),
    "form, preamble and epilogue": (
        form(b"ignored", part(PHOTO), end=b"\r\n--x-boundary--\r\nignored"), 200, None, "",
    ),
    "form, quoted boundary": (form(part(PHOTO), kind='charset=utf-8; boundary="x-boundary"'), 200, None, ""),
    "form, filename*": (
        form(part(PHOTO, "form-data; filename*=UTF-8''%e2%82%ac%20name=.jpg; name=file")), 200, None, "",
    ),
    "form, name within the file's name": (
        form(part(PHOTO, 'form-data; filename="a; name=\\"x\\".jpg"; name="file"')), 200, None, "",
    ),
    "form, two photos": (form(part(PHOTO), part(PHOTO)), 200, None, ""),
    "form, seventeen photos": (
        form(*[part(PHOTO[:9])] * 17), 400, "bad_request",
        "the form must have 1 to 16 photos, in fields named file or image, not 17",
    ),
    "form, hundred fields": (form(*[part(b"")] * 100), 400, "bad_request", "the form has more than 32 fields"),
    "form without a photo": (form(part(b"1", OPTION)), 400, "bad_request", "the form must have 1 to 16 photos"),
    "form, no file chosen": (
        form(NO_FILE, NO_FILE), 400, "bad_request", "the image is empty",
    ),
    "form, one of two inputs without a file": (form(NO_FILE, part(PHOTO)), 200, None, ""),
    "form, unknown field": (
        form(part(PHOTO, 'form-data; name="photo"')), 400, "bad_request",
        "the form has a field that is not known; known are file, image, top, explain, model",
    ),
    "form, base64 as text": (form(part(ENCODED.encode(), 'form-data; name="image"')), 400, "bad_request", AS_TEXT),
    "form, encoded part": (
        form(part(ENCODED.encode(), more="Content-Transfer-Encoding: base64\r\n")), 400, "bad_request",
        "the form's files must be sent as they are",
    ),
    "form, an option twice": (
        form(part(PHOTO), part(b"1", OPTION), part(b"2", OPTION)), 400, "bad_request",
        "field 'top' is given more than once",
    ),
    "form, an option here and there": (
        form(part(PHOTO), part(b"1", OPTION), queryStringParameters=TOP), 400, "bad_request",
        "top is given in the form and in the query",
    ),
    "form, malformed option": (
        form(part(PHOTO), part(b"x", OPTION)), 400, "bad_request", "top must be a whole number",
    ),
    "form, long option": (
        form(part(b"1" * 101, OPTION)), 400, "bad_request", "the form's field top is longer than 100 bytes",
    ),
    "form, cut off": (form(part(PHOTO), end=b""), 400, "bad_request", NO_FORM),
    "form, another boundary": (form(part(PHOTO), kind="boundary=y"), 400, "bad_request", NO_FORM),
    "form, no boundary": (
        form(part(PHOTO), kind="charset=utf-8"), 400, "bad_request",
        "the Content-Type multipart/form-data has no valid boundary",
    ),
    "form, header without end": (
        form(b"\r\n--x-boundary\r\n" + b"a" * 9000), 400, "bad_request", NO_FORM,
    ),
    "form, mangled": (
        raw((part(PHOTO) + END).decode(errors="replace"), kind="multipart/form-data; boundary=x-boundary"),
        400, "bad_request", LOST,
    ),
    "form of text fields": (
        raw("image=" + quote(ENCODED), kind="application/x-www-form-urlencoded"), 400, "bad_request", NO_JSON,
    ),
    "HEIC": (raw(base64.b64encode(heic(flat(RED))).decode(), True, "image/heic"), 200, None, ""),
    "AVIF": (in_json(base64.b64encode(avif(flat(RED))).decode()), 200, None, ""),
    "HEIC, cut off": (
        raw(base64.b64encode(heic(flat(RED))[:60]).decode(), True, "image/heic"), 422, "broken_image",
        "the image is truncated or damaged",
    ),
    # Formats that are not read
    "video": (
        in_json(base64.b64encode(b"\0\0\0\x18ftypmp42\0\0\0\0isommp42").decode()), 415, "not_an_image",
        "the data are not an image we read",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CALLERS)
def test_status_code_and_sentence(case: str) -> None:
    event, status, code, sentence = CALLERS[case]
    answer = lambda_func.handler(event, None)
    content = json.loads(answer["body"])
    error = content.get("error", {"code": None, "message": ""})
    assert (answer["statusCode"], error["code"]) == (status, code), error["message"]
    assert error["message"].startswith(sentence), error["message"]
    assert bool(error["message"]) == bool(sentence)


def content_of(case: str) -> Any:
    return json.loads(lambda_func.handler(CALLERS[case][0], None)["body"])


def test_answers_are_those_of_the_photo_itself() -> None:
    expected = lambda_func.handler({"image": ENCODED}, None)
    for case in ("balancer", "URL-safe alphabet", "no padding", "form", "form, filename*", "line breaks"):
        assert content_of(case) == expected, case
    first = {**expected, "predictions": expected["predictions"][:1]}
    for case in (
        "balancer, raw photo",
        "balancer, query percent-encoded",
        "form, options",
        "form, options in the query",
    ):
        assert content_of(case) == first, case
    assert content_of("form, two photos") == {"results": [expected, expected]}


def test_balancer_gets_headers_in_the_form_that_it_reads() -> None:
    answer = lambda_func.handler(balancer(True), None)
    assert answer["multiValueHeaders"]["Content-Type"] == ["application/json"]
    assert "headers" not in answer
    answer = lambda_func.handler(balancer(), None)
    assert answer["headers"]["Content-Type"] == "application/json"
    assert "multiValueHeaders" not in answer


def test_key_in_multi_value_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    from lenslet.serving.access import read_access

    hashed = "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683"  # printf key | sha256sum
    monkeypatch.setattr(lambda_func, "access", read_access({"LENSLET_API_KEYS": hashed}))
    event = balancer(True)
    assert lambda_func.handler(event, None)["statusCode"] == 401
    event["multiValueHeaders"]["X-Api-Key"] = ["key"]
    assert lambda_func.handler(event, None)["statusCode"] == 200


@pytest.mark.parametrize(
    ("event", "status"),
    [
        (http_api("/photos/v1/health", "$default"), 200),
        (http_api("/prod/photos/v1/health", "$default"), 200),
        (http_api("/photos/v1", "$default"), 200),
        (http_api("/health", "$default"), 200),
        (balancer(httpMethod="GET", path="/photos/v1/health"), 200),
        (http_api("/photos/v12/health", "$default"), 404),
        (rest("/other/photos/v1/health", "/photos/v1/{proxy+}", proxy="health"), 200),
        (
            rest("/other/photos/v1/health", "/photos/{version}/health")
            | {"pathParameters": {"version": "v1"}},
            200,
        ),
    ],
)
def test_base_path_of_the_settings(event: Event, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LENSLET_BASE_PATH", "/photos/v1/")
    assert lambda_func.handler(event, None)["statusCode"] == status


@pytest.mark.parametrize("path", ["photos", "/a//b", "/a b", "https://x.example/photos", "/a?b"])
def test_malformed_base_path(path: str) -> None:
    with pytest.raises(
        ValueError, match=re.escape(f"LENSLET_BASE_PATH takes a path as /photos or /v1/photos, not {path!r}")
    ):
        read_base_path({"LENSLET_BASE_PATH": path})


def test_formats_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LENSLET_FORMATS", "png, JPEG")
    assert json.loads(lambda_func.handler(http_api("/", "$default"), None)["body"])["formats"] == [
        "JPEG",
        "PNG",
    ]
    for write, name in ((heic, "HEIC"), (avif, "AVIF")):
        answer = lambda_func.handler(in_json(base64.b64encode(write(flat(RED))).decode()), None)
        assert answer["statusCode"] == 415
        assert (
            f"the data are {name}, which is not read here; convert it to one that is (JPEG, PNG)"
            in answer["body"]
        )
    with pytest.raises(
        ValueError, match=r"LENSLET_FORMATS takes names of formats \(JPEG, .*HEIC\).*, not 'JPG'"
    ):
        read_formats({"LENSLET_FORMATS": "JPG"})


PAGE = b"\n<!DOCTYPE html><title>secret</title>"


@pytest.mark.parametrize(
    ("data", "link", "message"),
    [
        (PAGE, "https://a.example/", "a web page (HTML) instead of a photo; send the address of the file itself"),
        (b"\xef\xbb\xbf<html>", "https://a.example/", "a web page (HTML)"),
        (b"<svg xmlns=''>", "https://a.example/", "an SVG drawing"),
        (b"<?xml version='1.0'?>", "https://a.example/", "XML or HTML"),
        (b' {"secret": 1}', "https://a.example/", "JSON"),
        (b"%PDF-1.7", "https://a.example/", "a PDF document"),
        (b"", "https://a.example/", "an empty file"),
        (
            PAGE, "https://drive.google.com/file/d/1x/view?usp=sharing",
            "photo; the direct form is https://drive.google.com/uc?export=download&id=<file id>",
        ),
        (PAGE, "https://www.dropbox.com/s/1x/a.jpg?dl=0", "the direct form is the same link with dl=1"),
        (PAGE, "https://github.com/a/b/blob/main/a.jpg", "the direct form is the same link with /raw/"),
        (PAGE, "https://github.com/a/b/tree/main", "send the address of the file itself"),
        (PAGE, "https://GITLAB.com:443/a/b/-/blob/main/a.jpg", "the direct form is the same link with /-/raw/"),
        (PAGE, "https://commons.wikimedia.org/wiki/File:A.jpg", "with Special:FilePath/ instead of File:"),
        (PAGE, "https://photos.app.goo.gl/1x", "photo; no link to the file exists, so download the photo and send it"),
        (PAGE, "https://1drv.ms/i/s!1x", "photo; download the photo and send it"),
        (PAGE, "https://a-my.sharepoint.com/:i:/g/1x", "the same link with download=1 in its query"),
        (PAGE, "https://imgur.com/gallery/1x", "the direct form is https://i.imgur.com/<id of the photo>.jpg"),
        (PAGE, "https://de.wikipedia.org/wiki/Datei:A.jpg", "the file's page with Special:FilePath/ instead of File:"),
        (b"version https://git-lfs.github.com/spec/v1", "https://a.example/a.jpg", "a pointer of Git LFS instead"),
        (PAGE, "https://notdropbox.com/s/1x", "send the address of the file itself"),
    ],
)  # fmt: skip
def test_link_that_delivers_no_picture(data: bytes, link: str, message: str) -> None:
    with pytest.raises(NotAnImageLink, match=re.escape(message)) as caught:
        check_delivered(data, link)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("data", [PHOTO, b"\x89PNG", b"hello", b"GIF89a<html>"])
def test_link_that_may_deliver_a_picture(data: bytes) -> None:
    assert check_delivered(data, "https://a.example/") == data


@pytest.mark.parametrize(
    ("body", "is_base64", "limit"),
    [
        (b"x" * 4_718_593, False, "larger than 4,718,592 bytes, the limit: send the photo smaller"),
        ("A" * 6_291_460, True, "larger than 4,718,592 bytes, the limit: send the photo smaller"),
        (
            "{" + " " * 6_291_456,
            False,
            "larger than 6,291,456 bytes, the limit, which base64 of a photo of 4,718,592",
        ),
    ],
)
def test_limit_is_said_in_what_the_caller_sent(body: str | bytes, is_base64: bool, limit: str) -> None:
    request = HttpRequest("POST", "/predict", "image/jpeg", {}, body, is_base64, {})
    with pytest.raises(RequestTooLarge, match=limit):
        request.content()
