"""The tab "Training": where it is there, what it shows of each state, and what its buttons send."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect, sync_playwright
from streamlit.testing.v1 import AppTest

from tests.frontend.test_page import opened, ran, said, secrets
from tests.support.browser import OPTIONS, find_chromium, running_page, shoot
from tests.support.json_server import Reply
from tests.support.page_server import Endpoint, error, recording

__all__ = ["secrets"]
IDLE = {"state": "idle", "stage": None, "figures": {}, "can_promote": False, "lines": []}
FIGURES = {
    "before": {"accuracy": 0.85, "accuracy_low": 0.74, "accuracy_high": 0.92, "photos": 60.0},
    "after": {"accuracy": 0.9, "accuracy_low": 0.8, "accuracy_high": 0.95, "photos": 60.0},
}


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """One that trains, and asks for a key first."""
    with recording() as endpoint:
        endpoint.by_path["GET /train"] = error(401, "training_key_missing")
        yield endpoint


def tabs(page: AppTest) -> list[str]:
    return [tab.label for tab in page.tabs]


def with_key(page: AppTest, endpoint: Endpoint, **state: Any) -> AppTest:
    """The page after the key was typed, and the endpoint has told this state."""
    endpoint.by_path["GET /train"] = Reply(200, {**IDLE, **state})
    page.text_input(key="training-key").set_value("the key")
    return ran(page)


def button(page: AppTest, key: str) -> Any:
    return page.button(key=key)


def test_tab_is_there_only_where_the_endpoint_trains(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = opened(endpoint, monkeypatch)
    assert tabs(page)[-1] == "Training"
    assert not [
        each for each in page.button if each.key == "train"
    ]  # before the key there is nothing to press


@pytest.mark.parametrize(
    "answer", [error(404, "not_found"), error(401, "key_missing"), Reply(200, {"name": "x"})]
)
def test_no_tab(answer: Reply, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint.by_path["GET /train"] = answer
    assert "Training" not in tabs(opened(endpoint, monkeypatch))


def test_training_is_started_with_the_key(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    page = with_key(opened(endpoint, monkeypatch), endpoint)
    assert "No training was started" in said(page.markdown)
    assert button(page, "promote").disabled
    endpoint.by_path["POST /train"] = Reply(202, {"id": "20261129-100000-ab12"})
    button(page, "train").click()
    ran(page)
    [(_, headers, _)] = [each for each in endpoint.requests if each[0] == "/train" and each[2] is not None]
    assert headers["X-Api-Key"] == "the key"
    assert "20261129-100000-ab12 was started" in said(page.info)


def test_progress_and_log(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["$ lenslet convert", "chosen: float16"]
    page = with_key(opened(endpoint, monkeypatch), endpoint, state="running", stage="convert", lines=lines)
    assert button(page, "train").disabled
    assert page.get("progress")[0].proto.text == "Step 2 of 4: convert"
    assert any("chosen: float16" in each.value for each in page.code)


def test_figures_and_promotion_behind_the_gate(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    page = with_key(opened(endpoint, monkeypatch), endpoint, state="refused", figures=FIGURES)
    assert button(page, "promote").disabled
    page = with_key(page, endpoint, state="registered", figures=FIGURES, can_promote=True)
    assert [(each.label, each.value) for each in page.metric][-2:] == [
        ("Accuracy before", "85.0%"),
        ("Accuracy after", "90.0%"),
    ]
    assert page.metric[-1].delta == "+5.0 points"
    endpoint.by_path["POST /train/promote"] = Reply(200, {"promoted": "scenes 2 is in production"})
    button(page, "promote").click()
    assert "scenes 2 is in production. Restart" in said(ran(page).info)


def test_refusals_are_said(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    page = with_key(opened(endpoint, monkeypatch), endpoint)
    endpoint.by_path["POST /train"] = error(409, "training_runs")
    button(page, "train").click()
    assert "running already" in said(ran(page).info)
    endpoint.by_path["GET /train"] = error(403, "training_key_refused")
    assert "not the key for trainings" in said(ran(page).error)


@pytest.mark.slow
def test_tab_in_a_browser(endpoint: Endpoint) -> None:
    """It refreshes itself: the end of a training shows without a click."""
    with running_page(LENSLET_ENDPOINT=endpoint.url) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=OPTIONS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(address)
        page.get_by_role("tab", name="Training").click(timeout=60_000)
        endpoint.by_path["GET /train"] = Reply(200, {**IDLE, "state": "running", "stage": "convert"})
        page.get_by_label("Training key").fill("the key")
        page.get_by_label("Training key").press("Enter")
        expect(page.get_by_text("Step 2 of 4: convert")).to_be_visible(timeout=30_000)
        expect(page.get_by_role("button", name="Promote the candidate")).to_be_disabled()
        done = {"state": "registered", "figures": FIGURES, "can_promote": True, "lines": ["register …"]}
        endpoint.by_path["GET /train"] = Reply(200, {**IDLE, **done})
        expect(page.get_by_role("button", name="Promote the candidate")).to_be_enabled(timeout=30_000)
        expect(page.get_by_text("90.0%")).to_be_visible()
        shoot(page, "training-1440-light")
        browser.close()
