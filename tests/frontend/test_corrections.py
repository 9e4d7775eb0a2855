"""The page's "Wrong? It is …": what it sends, and what it says to each answer."""

import base64
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from tests.frontend.test_page import GREEN, chosen, html, opened, ran, said, secrets, uploaded
from tests.support.json_server import Reply
from tests.support.page_server import DESCRIPTION, PREDICTION, Endpoint, error, recording

__all__ = ["secrets"]
TAKES = Reply(200, DESCRIPTION | {"takes_feedback": True})
STORED = Reply(200, {"id": "0f3a9c1b2d4e0f3a9c1b2d4e0f3a9c1b"})


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with recording(Reply(200, PREDICTION), STORED, description=TAKES) as endpoint:
        yield endpoint


def corrections(endpoint: Endpoint) -> list[Any]:
    return [content for path, _, content in endpoint.requests if path == "/feedback"]


def corrected(page: AppTest, number: int) -> AppTest:
    """Choose a label by its number, -1 for none of these, and send it."""
    page.selectbox[0].set_value(number)
    ran(page)
    page.button(key=next(button.key for button in page.button if button.label == "Agree and send")).click()
    return ran(page)


def test_correction_is_sent_with_consent_and_without_metadata(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = uploaded(opened(endpoint, monkeypatch), GREEN)
    assert "keeps the photo" in said(page.caption)
    corrected(page, 2)
    [content] = corrections(endpoint)
    assert (content["label"], content["consent"]) == ("sea", True)
    assert content.keys() == {"image", "label", "consent"}
    photo = Image.open(BytesIO(base64.b64decode(content["image"])))
    assert photo.format == "JPEG" and not photo.getexif()
    assert "0f3a9c1b2d4e" in said(page.success)
    assert not page.selectbox  # it is sent once
    assert "<h3>forest" in html(page)


def test_none_of_these(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    page = uploaded(opened(endpoint, monkeypatch), GREEN)
    assert page.selectbox[0].options == ["forest", "mountain", "sea", "none of these"]
    corrected(page, -1)
    assert corrections(endpoint)[0]["label"] is None


def test_nothing_can_be_sent_before_a_label_is_chosen(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = uploaded(opened(endpoint, monkeypatch), GREEN)
    [button] = [button for button in page.button if button.label == "Agree and send"]
    assert button.disabled


def test_link_is_sent_as_a_link(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    page = chosen(opened(endpoint, monkeypatch), "Link")
    page.text_input(key="link-0").set_value("https://example.com/a.jpg")
    next(button for button in page.button if button.label == "Classify the link").click()
    corrected(ran(page), 0)
    assert corrections(endpoint) == [{"url": "https://example.com/a.jpg", "label": "forest", "consent": True}]


def test_failure_is_said_and_may_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = Reply(429, error(429, "too_much_feedback").content, {"Retry-After": "60"})
    with recording(Reply(200, PREDICTION), refused, STORED, description=TAKES) as endpoint:
        page = corrected(uploaded(opened(endpoint, monkeypatch), GREEN), 1)
        assert "asks to wait 60 seconds" in said(page.error)
        assert page.selectbox[0].value == 1
        corrected(page, 1)
        assert "Thank you" in said(page.success)
        assert not page.error


@pytest.mark.parametrize("description", [DESCRIPTION, DESCRIPTION | {"takes_feedback": False}])
def test_nothing_is_offered_where_corrections_are_off(
    description: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with recording(description=Reply(200, description)) as endpoint:
        page = uploaded(opened(endpoint, monkeypatch), GREEN)
    assert not page.selectbox
    assert [each.label for each in page.expander] == ["Meaning of the metrics"]
