"""The contract as a page, in a browser's terms: what it shows, and that it loads nothing."""

from html.parser import HTMLParser

import pytest
import requests

from lenslet.serving.contract import read_contract
from lenslet.serving.http.docs_page import docs_page
from tests.support.endpoint import running


class Links(HTMLParser):
    """Names of elements, and the values of attributes that make a browser load or open something."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.targets: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        for name, value in attributes:
            if name in ("href", "src", "action", "data"):
                self.targets.add(str(value))
            if name == "id":
                self.anchors.add(f"#{value}")


def test_page_shows_every_path_and_schema_and_loads_nothing() -> None:
    page = docs_page(read_contract())
    for heading in ("POST /predict", "GET /", "GET /health", "GET /openapi.json"):
        assert f"<code>{heading}</code></h2>" in page
        assert f"<code>{heading}</code></a>" in page  # a link to it, at the top
    assert "<tr><th>415</th><td><code>not_an_image</code>: the data are" in page
    links = Links(page)
    assert not links.elements & {"script", "link", "img", "iframe", "form"}
    assert links.targets - links.anchors == {"openapi.json"}
    assert links.anchors >= {f"#{name}" for name in read_contract()["components"]["schemas"]}
    assert {"#operation-predict", "#operation-describe"} <= links.anchors & links.targets


def test_text_of_the_contract_is_escaped() -> None:
    info = {"title": "<b>", "version": "1", "description": "`<i>` & **more**"}
    page = docs_page({"info": info, "paths": {}, "components": {"schemas": {}}})
    assert "<h1>&lt;b&gt; 1</h1>" in page
    assert "<p><code>&lt;i&gt;</code> &amp; <strong>more</strong></p>" in page


def test_server_has_the_page_and_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LENSLET_API_KEYS", "0" * 64)
    with running() as (address, _):
        page = requests.get(f"{address}/docs", timeout=10)
        refused = requests.get(f"{address}/openapi.json", timeout=10)
    assert page.status_code == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Content-Security-Policy"] == "default-src 'none'; style-src 'unsafe-inline'"
    assert page.text == docs_page(read_contract())
    assert refused.status_code == 401  # the function's own paths need the key
