"""The page as Streamlit runs it, against an endpoint that gives recorded answers, and once against the real one."""

import csv
import hashlib
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.runtime.secrets import Secrets
from streamlit.testing.v1 import AppTest

import answers
import app
import examples
import settings
from answers import either, percent, region, to_csv
from client import Failure, Gateway
from lenslet.batch.formats import write_csv
from lenslet.serving.batch_rows import AnswerRow
from sent_photos import Progress, SentPhoto, send
from settings import Given, address_for_others, clean, key_for, may_choose, read_given
from tests.support.browser import NODE, find_program
from tests.support.endpoint import ROOT, running
from tests.support.json_server import Reply
from tests.support.page_server import DESCRIPTION, PREDICTION, Endpoint, error, recording
from tests.support.photos import plain

APP = str(ROOT / "frontend" / "app.py")
GREEN = ("green.png", plain((0, 200, 0)), "image/png")
HOSTILE = "<img src=x onerror=alert(1)> **bold** ![](https://example.com/x.png)"


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """No settings from outside, nothing kept from the previous test, no real waiting.

    Gives where Streamlit looks for secrets; there is no such file yet.
    """
    for name in settings.NAMES:
        monkeypatch.setenv(name, "")  # and not deleted, so that what Streamlit puts there is taken back
    monkeypatch.setattr("client.sleep", lambda seconds: None)
    monkeypatch.setattr(st, "secrets", Secrets())
    st.cache_data.clear()
    before = st.get_option("secrets.files")
    st.config.set_option("secrets.files", [str(tmp_path / "secrets.toml")])
    yield tmp_path / "secrets.toml"
    st.config.set_option("secrets.files", before)


def opened(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv("LENSLET_ENDPOINT", endpoint.url)
    return ran(AppTest.from_file(APP, default_timeout=60))


def ran(page: AppTest) -> AppTest:
    page.run()
    assert not page.exception
    return page


def uploaded(page: AppTest, *files: tuple[str, bytes, str]) -> AppTest:
    page.file_uploader[0].set_value(list(files))
    return ran(page)


def chosen(page: AppTest, method: str) -> AppTest:
    page.get("button_group")[0].set_value(method)
    return ran(page)


def html(page: AppTest) -> str:
    """All HTML of the page but the style sheet."""
    bodies = [each.proto.body for each in page.get("html")]
    return "\n".join(body for body in bodies if ".lens-stack {" not in body)


def said(elements: Iterable[Any]) -> str:
    """Their text as a person reads it: Markdown's escapes are not seen."""
    return "\n".join(re.sub(r"\\(.)", r"\1", each.value) for each in elements)


def prediction(**changes: Any) -> Reply:
    return Reply(200, {**PREDICTION, **changes})


def ranked(label: str, probability: float) -> list[dict[str, Any]]:
    rest = [each for each in ("forest", "mountain", "sea") if each != label]
    return [{"label": label, "probability": probability}] + [
        {"label": each, "probability": (1 - probability) / 2} for each in rest
    ]


def test_nothing_yet(monkeypatch):
    with recording() as endpoint:
        page = opened(endpoint, monkeypatch)
    assert page.title[0].value == "recorded"
    assert [tab.label for tab in page.tabs] == ["Classify", "Model card", "Request examples"]
    assert "It knows forest, mountain and sea" in said(page.markdown)
    assert "Nothing here yet" in html(page)
    assert not page.error and not endpoint.questions


def test_one_photo(monkeypatch):
    with recording() as endpoint:
        page = uploaded(opened(endpoint, monkeypatch), GREEN)
        shown = html(page)
        assert "<h3>forest <span>55.0 %</span></h3>" in shown
        assert "Not sure: forest or mountain." in shown
        assert "The evidence for forest lies mostly in the lower right part." in shown
        assert " ms.</p>" in shown
        assert 'alt="green.png, which the model takes for forest"' in shown
        assert 'alt="The evidence for forest lies mostly in the lower right part"' in shown
        chart = page.get("vega_lite_chart")[0].proto
        assert chart.alt == "Probabilities: forest 55.0 %, mountain 40.0 %, sea 5.0 %"
        # What was answered stays while other things change, and nothing is sent again.
        page.toggle(key="map").set_value(False)
        assert ".lens-map { visibility: hidden; }" in html(ran(page))
        page.toggle(key="map").set_value(True)
        ran(page)
        page.slider(key="opacity").set_value(35)
        assert "--map-opacity: 0.35;" in html(ran(page))
        chosen(page, "Link")
        assert "Not sure: forest or mountain." in html(page)
    assert len(endpoint.questions) == 1


def test_sure_and_none_of_these(monkeypatch):
    certain = prediction(predictions=ranked("sea", 0.9999), is_certain=True, prediction_set=["sea"])
    with recording(certain) as endpoint:
        shown = html(uploaded(opened(endpoint, monkeypatch), GREEN))
        assert "Sure: no other label is likely enough to count." in shown and "over 99.9 %" in shown
    with recording(prediction(is_in_distribution=False)) as endpoint:
        shown = html(uploaded(opened(endpoint, monkeypatch), GREEN))
        assert "Probably none of these labels" in shown and "Not sure" not in shown


def test_model_without_a_map(monkeypatch):
    with recording(prediction(explanation=None)) as endpoint:
        page = uploaded(opened(endpoint, monkeypatch), GREEN)
    assert "No explanation of this model" in said(page.caption)
    assert "lens-map" not in html(page) and not page.toggle


def test_several_photos_one_of_which_fails(monkeypatch):
    by_photo = {
        "certain.png": prediction(predictions=ranked("sea", 0.9), is_certain=True, prediction_set=["sea"]),
        "uncertain.png": prediction(predictions=ranked("forest", 0.5)),
        "broken.png": error(422, "broken_image"),
    }
    monkeypatch.setattr("sent_photos.AT_ONCE", 1)  # the answers come in the order of the photos
    with recording(*by_photo.values()) as endpoint:
        page = uploaded(opened(endpoint, monkeypatch), *((name, GREEN[1], GREEN[2]) for name in by_photo))
    assert len(endpoint.questions) == 3
    assert said(page.error) == (
        "**broken.png**\n\nThe picture is damaged or cut off: save it again, or try another one."
    )
    assert page.get("download_button")[0].label == "Download CSV"
    assert page.table[0].value.to_dict("records") == [
        {
            "photo": r"uncertain\.png",
            "label": "forest",
            "probability": "50.0 %",
            "verdict": "forest or mountain",
        },
        {"photo": r"certain\.png", "label": "sea", "probability": "90.0 %", "verdict": "sure"},
    ]
    assert html(page).index("uncertain.png, which") < html(page).index(
        "certain.png, which", html(page).index("uncertain.png, which") + 9
    )
    assert [button.key for button in page.button] == ["start-over"]  # the same photo would fail again
    page.button(key="start-over").click()
    assert "Nothing here yet" in html(ran(page))


def test_many_photos_come_in_pages(monkeypatch):
    monkeypatch.setattr("sent_photos.AT_ONCE", 1)
    share = [0.9 - number / 100 for number in range(13)]
    with recording(*(prediction(predictions=ranked("sea", each)) for each in share)) as endpoint:
        page = uploaded(
            opened(endpoint, monkeypatch), *((f"{number}.png", *GREEN[1:]) for number in range(13))
        )
        assert re.findall(r'alt="(\d+)\.png', html(page)) == ["12", *map(str, range(11, 0, -1))]
        page.get("pagination")[0].set_value(2)
        assert re.findall(r'alt="(\d+)\.png', html(ran(page))) == ["0"]
    assert len(endpoint.questions) == 13


def test_waking_up_is_said(monkeypatch):
    """As long as nothing was answered and the endpoint asked to wait."""
    monkeypatch.setattr("client.sleep", lambda seconds: time.sleep(0.6))
    told: list[Progress] = []
    with recording(Reply(503, ""), prediction()) as endpoint:
        photos = [SentPhoto("a.png", lambda: GREEN[1]), SentPhoto("b.png", lambda: GREEN[1])]
        monkeypatch.setattr("sent_photos.AT_ONCE", 1)
        send(photos, Gateway(endpoint.url), told.append)
    assert any(each == Progress(0, 2, is_waking=True) for each in told)
    assert told[-1] == Progress(2, 2, is_waking=False)
    assert app.words_of(
        told[-1]
    ) == "Classifying photo 2 of 2…" and "The endpoint is starting" in app.words_of(Progress(0, 2, True))


@pytest.mark.slow
def test_waking_up_is_said_of_a_slow_first_answer(monkeypatch):
    def answer_slowly(*_: object) -> Any:
        time.sleep(1)
        return PREDICTION

    monkeypatch.setattr("sent_photos.WAKING_AFTER_S", 0.1)
    monkeypatch.setattr(Gateway, "_attempt", answer_slowly)
    told: list[Progress] = []
    send([SentPhoto("a.png", lambda: GREEN[1])], Gateway("http://a"), told.append)
    assert any(each == Progress(0, 1, is_waking=True) for each in told)
    assert told[-1] == Progress(1, 1, is_waking=False)


@pytest.mark.slow
def test_what_is_slow_but_not_waking_up(monkeypatch):
    """A photo that this page reads for long, and an address where nobody answers."""
    monkeypatch.setattr("sent_photos.WAKING_AFTER_S", 0.5)
    told: list[Progress] = []
    while_reading: list[Progress] = []

    def read_slowly() -> bytes:
        time.sleep(1)
        while_reading.extend(told)
        return GREEN[1]

    with recording() as endpoint:
        send([SentPhoto("a.png", read_slowly)], Gateway(endpoint.url), told.append)
    assert len(while_reading) > 2 and not any(each.is_waking for each in while_reading)

    def refuse(*_: object) -> None:
        time.sleep(0.3)
        raise Failure("", "down", is_passing=True)

    told.clear()
    monkeypatch.setattr(Gateway, "_attempt", refuse)
    send([SentPhoto("a.png", lambda: GREEN[1])], Gateway(endpoint.url), told.append)
    assert len(told) > 2 and not any(each.is_waking for each in told)


def test_photo_taken_out_of_the_uploader(monkeypatch):
    with recording() as endpoint:
        page = uploaded(opened(endpoint, monkeypatch), GREEN)
        chosen(page, "Link")  # where the uploader is not, no photo was taken out
        chosen(page, "Upload")
        assert "green.png, which" in html(page)
        uploaded(page, ("other.png", *GREEN[1:]), ("third.png", *GREEN[1:]))
        assert len(page.table[0].value) == 3
        uploaded(page)
        assert (
            "green.png, which" in html(page)
            and "other.png" not in html(page)
            and not page.get("download_button")
        )


def test_mistake_of_the_page_stops_no_other_photo(caplog):
    def fail() -> bytes:
        raise RuntimeError("a mistake")

    with recording() as endpoint:
        photos = [SentPhoto("a.png", fail), SentPhoto("b.png", lambda: GREEN[1])]
        send(photos, Gateway(endpoint.url), lambda progress: None)
    assert photos[0].outcome.error == "This page failed on the photo: its log says why. Try another one."
    assert photos[1].answer.label == "forest"
    assert "a mistake" in caplog.text


def test_try_again(monkeypatch):
    with recording(error(500, "internal_error"), prediction()) as endpoint:
        page = uploaded(opened(endpoint, monkeypatch), GREEN)
        assert "its log says why" in page.error[0].value
        page.button(key="retry").click()
        ran(page)
        assert not page.error and "forest" in html(page)


def test_csv_is_that_of_predict(tmp_path):
    """The header and a row beside those that `lenslet predict --csv` writes for the same answer."""
    label_names = ("=forest", "error", "a|b, c")
    predictions = [
        {"label": label, "probability": probability}
        for label, probability in zip(label_names, (0.55, 0.4, 0.05), strict=True)
    ]
    possible = ["=forest", "a|b, c"]
    ours = answers.read_answer(
        {**PREDICTION, "predictions": predictions, "prediction_set": possible, "ood_score": -5.2103}
    )
    theirs = AnswerRow("-a, b.png", "=forest", (0.55, 0.4, 0.05), False, tuple(possible), True, -5.2103)
    failed = AnswerRow("c.png", error="@damaged")
    write_csv(tmp_path / "predict.csv", label_names, [theirs, failed])
    rows = [answers.Row("-a, b.png", ours), answers.Row("c.png", None, "@damaged")]
    assert to_csv(rows, label_names) == (tmp_path / "predict.csv").read_bytes().decode()
    header, first, second = csv.reader(StringIO(to_csv(rows, label_names)))
    assert header == [
        "file", "label", "probability", "is_certain", "prediction_set", "is_in_distribution", "ood_score",
        "probability: =forest", "probability: error", "probability: a|b, c", "error",
    ]  # fmt: skip
    assert first == [
        "'-a, b.png", "'=forest", "0.550000", "False", r"'=forest|a\|b, c", "True", "-5.2103",
        "0.550000", "0.400000", "0.050000", "",
    ]  # fmt: skip
    assert second[-1] == "'@damaged"


def test_link_is_fetched_by_the_endpoint_and_the_browser_only(monkeypatch):
    with recording() as other, recording() as endpoint:
        link = f"{other.url}/a.jpg?x=1&y=<2>"
        page = chosen(opened(endpoint, monkeypatch), "Link")
        page.text_input(key="link-0").set_value(link)
        page.button[0].click()
        ran(page)
        assert endpoint.questions == [{"url": link, "explain": True}]
        assert other.requests == []
        assert f'<img src="{other.url}/a.jpg?x=1&amp;y=&lt;2&gt;"' in html(page)


def test_what_is_no_link(monkeypatch):
    with recording() as endpoint:
        page = chosen(opened(endpoint, monkeypatch), "Link")
        for link in ("", "example.com/a.jpg", "file:///etc/passwd", "https://", "javascript:alert(1)"):
            page.text_input(key="link-0").set_value(link)
            page.button[0].click()
            assert "A link begins with https://" in ran(page).warning[0].value, link
    assert not endpoint.questions


def test_link_refused(monkeypatch):
    with recording(error(422, "link_refused", "the host is not public")) as endpoint:
        page = chosen(opened(endpoint, monkeypatch), "Link")
        page.text_input(key="link-0").set_value("http://10.0.0.1/a.jpg")
        page.button[0].click()
        ran(page)
    assert "upload the photo. It says: the host is not public" in said(page.error)


SCENES = ["buildings", "forest", "glacier", "mountain", "sea", "street"]


def test_samples_are_of_the_model_or_not_there(monkeypatch, tmp_path: Path):
    dishes = Reply(200, {**DESCRIPTION, "name": "my_dishes", "labels": ["baklava", "forest", "../forest"]})
    with recording(description=dishes) as endpoint:
        page = opened(endpoint, monkeypatch)
        assert page.segmented_control(key="input-method").options == ["Upload", "Link", "Camera"]
        assert page.title[0].value == "my dishes"
        (tmp_path / "baklava").mkdir()
        (tmp_path / "baklava" / "1.png").write_bytes(GREEN[1])
        monkeypatch.setenv("LENSLET_SAMPLES", str(tmp_path))
        page = chosen(opened(endpoint, monkeypatch), "Samples")
        assert 'alt="photo of baklava"' in html(page)
        assert "Photos that came with the model" in said(page.caption)


def test_errors_of_one_input_do_not_stay_in_another(monkeypatch):
    with recording(error(422, "link_refused", "the host is not public")) as endpoint:
        page = chosen(opened(endpoint, monkeypatch), "Link")
        page.text_input(key="link-0").set_value("http://10.0.0.1/a.jpg")
        page.button[0].click()
        assert "the host is not public" in said(ran(page).error)
        page = chosen(page, "Upload")
    assert not page.error
    assert "Nothing here yet" in html(page)


def test_samples(monkeypatch):
    with recording(description=Reply(200, {**DESCRIPTION, "labels": SCENES})) as endpoint:
        page = chosen(opened(endpoint, monkeypatch), "Samples")
        assert 'alt="drawing of glacier"' in html(page)
        page.button(key="try-glacier").click()
        assert "glacier.jpg, which the model takes for forest" in html(ran(page))
        page.button(key="try-all").click()
        ran(page)
        assert "glacier (2).jpg, which" in html(page) and "sea (2)" not in html(page)
    assert len(endpoint.questions) == 7


def test_camera(monkeypatch):
    with recording() as endpoint:
        page = chosen(opened(endpoint, monkeypatch), "Camera")
        assert "if you refused, allow the camera" in said(page.caption)
        page.camera_input[0].set_value(("shot.jpg", plain((0, 0, 200), "JPEG"), "image/jpeg"))
        assert "camera.jpg, which the model takes for forest" in html(ran(page))


def test_offline_and_closed(monkeypatch):
    with recording() as endpoint:
        pass  # and it is gone
    page = opened(endpoint, monkeypatch)
    assert [button.label for button in page.button] == ["Try again"] * 2  # and on the model card
    uploaded(page, GREEN)
    sentence = f"Nothing answers at {endpoint.url}: start the endpoint (make serve), or check its address."
    assert said(page.error).count(sentence) == 3  # above, at the photo, on the model card
    assert [button.label for button in page.button] == ["Try again", "Start over", "Try again"]
    closed = error(401, "key_missing")
    with recording(closed, description=closed) as endpoint:
        page = opened(endpoint, monkeypatch)
        assert "asks for an API key: enter the right one in the sidebar" in said(page.error)
        endpoint.description = Reply(200, DESCRIPTION)
        page.text_input(key="key").set_value("hush")
        assert not ran(page).error
    assert endpoint.requests[-1][1]["X-Api-Key"] == "hush"
    assert "hush" not in "".join(code.value for code in page.code)
    assert "X-Api-Key: $LENSLET_API_KEY" in page.code[0].value


def test_endpoint_that_comes_back_is_there_at_once(monkeypatch):
    broken = error(500, "internal_error")
    with recording(broken, prediction(), description=broken) as endpoint:
        page = uploaded(opened(endpoint, monkeypatch), GREEN)
        assert len(page.error) == 3
        endpoint.description = Reply(200, DESCRIPTION)
        page.button(key="retry").click()
        assert not ran(page).error and page.metric and "forest" in html(page)


def test_endpoint_that_comes_up_while_photos_are_sent(monkeypatch):
    with recording(description=error(500, "internal_error")) as endpoint:
        page = opened(endpoint, monkeypatch)

        def send_and_mend(*arguments: Any) -> None:
            endpoint.description = Reply(200, DESCRIPTION)
            send(*arguments)

        monkeypatch.setattr("sent_photos.send", send_and_mend)
        assert not uploaded(page, GREEN).error and page.metric


def test_what_others_wrote_does_nothing(monkeypatch):
    label = {
        "predictions": [{"label": HOSTILE, "probability": 1.0}],
        "prediction_set": [HOSTILE],
        "explanation": None,
    }
    hostile = {
        **DESCRIPTION,
        "name": HOSTILE,
        "labels": [HOSTILE, "sea"],
        "metrics": {HOSTILE: {"photos": 1.0}},
    }
    with recording(prediction(**label), description=Reply(200, hostile)) as endpoint:
        page = uploaded(opened(endpoint, monkeypatch), (f"{HOSTILE[:28]}.png", GREEN[1], GREEN[2]))
    assert "<img src=x" not in html(page) and "&lt;img src=x onerror=alert(1)&gt;" in html(page)
    for text in [each.value for each in [*page.markdown, *page.header, *page.caption]]:
        assert not re.search(r"(?<!\\)[<\[]|(?<!\\)\*\*bold", text)


@pytest.mark.parametrize("validated", [6, 30])  # these chose the temperature, so that they flatter the model
def test_model_card_of_few_test_photos_has_the_cross_validated_accuracy_as_headline(validated, monkeypatch):
    metrics = {
        "validation": {"photos": float(validated), "accuracy": 1.0, "recall.forest": 0.5},
        "cross_validation": {"photos": 108.0, "accuracy": 0.7, "accuracy_low": 0.6, "accuracy_high": 0.78},
        "test": {"photos": 12.0, "accuracy": 0.75, "accuracy_low": 0.5, "accuracy_high": 0.9},
    }
    with recording(description=Reply(200, {**DESCRIPTION, "metrics": metrics})) as endpoint:
        page = opened(endpoint, monkeypatch)
    assert [(each.label, each.value) for each in page.metric] == [("accuracy", "70.0 %"), ("photos", "108")]
    text = "\n".join(each.value for each in page.markdown)
    assert "12 photos (test) are too few to measure an accuracy." in text
    assert "These figures are from: cross validation." in text
    accuracies = page.table[0].value.to_dict("records")[1]
    assert accuracies["test (12 photos)"] == "9 of 12"
    assert accuracies[f"validation ({validated} photos)"] == {6: "6 of 6", 30: "100.0 %"}[validated]
    assert len(page.table) == 1  # no recall of a class that had a handful of photos


def test_model_card_calls_figures_out_of_fold_cross_validated(monkeypatch):
    metrics = {"validation": {"photos": 108.0, "folds": 10.0, "accuracy": 0.7}, "test": {"photos": 12.0}}
    with recording(description=Reply(200, {**DESCRIPTION, "metrics": metrics})) as endpoint:
        page = opened(endpoint, monkeypatch)
    assert [(each.label, each.value) for each in page.metric] == [("accuracy", "70.0 %"), ("photos", "108")]
    text = "\n".join(each.value for each in page.markdown)
    assert "These figures are from: cross-validated." in text.replace("\\", "")


def test_model_card(monkeypatch):
    with recording() as endpoint:
        page = opened(endpoint, monkeypatch)
    assert [header.value for header in page.header] == ["recorded", "Ask the endpoint yourself"]
    assert [(each.label, each.value, each.delta) for each in page.metric] == [
        ("accuracy", "90.0 %", "83.0 % to 95.0 %"),
        ("photos", "100", ""),
    ]
    figures, by_label = (table.value.to_dict("records") for table in page.table)
    assert figures == [
        {"metric": "photos", "test (100 photos)": "100", "validation (50 photos)": "50"},
        {
            "metric": "accuracy",
            "test (100 photos)": "90.0 % (83.0 % to 95.0 %)",
            "validation (50 photos)": "92.0 %",
        },
    ]
    assert by_label == [{"label": "sea", "precision": "–", "recall": "75.0 %", "F1": "–"}]
    text = "\n".join(each.value for each in page.markdown)
    assert "- **test**: 100 photos\n- **validation**: 50 photos\n" in text and "160 × 160 pixels" in text
    assert "in the model's folder describes the data set (fingerprint feedbeef0123)" in text


@pytest.mark.parametrize("metrics", [{}, {"test": None}, {"test": {"accuracy": "high"}}, None, [1]])
def test_model_card_without_figures(metrics, monkeypatch):
    with recording(description=Reply(200, {**DESCRIPTION, "metrics": metrics})) as endpoint:
        page = opened(endpoint, monkeypatch)
    assert not page.metric


def test_order_of_settings():
    environment = {"LENSLET_ENDPOINT": " http://a/predict/ ", "LENSLET_API_KEY": "s "}
    assert read_given(environment) == Given("http://a", "s")
    assert read_given({"LENSLET_ENDPOINT": ""}) == Given("", "")
    assert "s" not in repr(Given("", "s")).removeprefix("Given(endpoint=''")


def test_secrets_file(secrets, monkeypatch):
    """Read by Streamlit itself, which lets it go before the environment."""
    with recording() as endpoint, recording() as other:
        secrets.write_text(f'LENSLET_ENDPOINT = "{endpoint.url}"\nLENSLET_API_KEY = "hush"\n')
        page = opened(other, monkeypatch)
        assert page.text_input(key="endpoint").value == endpoint.url and not page.error
    assert endpoint.requests[0][1]["X-Api-Key"] == "hush" and not other.requests


def test_mistake_in_the_secrets_file_is_said(secrets, monkeypatch):
    secrets.write_text("LENSLET_API_KEY = hush\n")
    with recording() as endpoint:
        page = opened(endpoint, monkeypatch)
    assert "The file secrets.toml cannot be read" in page.error[0].value and "hush" not in page.error[0].value


# (what people type or copy, the endpoint)
ADDRESSES = [
    ("", ""),
    (" http://a/predict/ ", "http://a"),
    ("HTTP://127.0.0.1:9", "http://127.0.0.1:9"),
    ("localhost:8080", "http://localhost:8080"),
    ("a.example/prod", "https://a.example/prod"),
    ("https://a.example/prod/health", "https://a.example/prod"),
    ("https://a.example/predict?x=1", "https://a.example"),
    ("https://a.example/unhealth//", "https://a.example/unhealth"),
    ("file:///etc/passwd", "file:///etc/passwd"),
    ("http://[::1", "http://[::1"),
]


@pytest.mark.parametrize(("typed", "endpoint"), ADDRESSES)
def test_addresses_are_completed_and_cut(typed, endpoint):
    assert clean(typed) == endpoint


def test_examples_name_the_endpoint_as_people_reach_it(monkeypatch):
    monkeypatch.setenv("LENSLET_PUBLIC_ENDPOINT", "https://example.com/prod/")
    with recording() as endpoint:
        page = opened(endpoint, monkeypatch)
    assert all("https://example.com/prod/predict" in code.value for code in page.code)
    given = Given("http://function:8080", "", "https://example.com")
    assert address_for_others("http://typed", given) == "http://typed"


def test_given_key_goes_to_no_typed_endpoint():
    given = Given("", "given")
    assert key_for("http://127.0.0.1:8080", given, "") == "given"
    assert key_for("http://example.com", given, "") == ""
    assert key_for("http://example.com", given, "typed") == "typed"
    assert key_for("http://a", Given("http://a", "given"), "") == "given"


def test_visitors_of_a_public_page_do_not_choose_the_endpoint(monkeypatch):
    assert may_choose(Given("", ""), "127.0.0.1")
    assert not may_choose(Given("", ""), "0.0.0.0") and not may_choose(Given("", ""), None)
    assert not may_choose(Given("http://a", ""), "127.0.0.1")
    with recording() as endpoint:
        page = opened(endpoint, monkeypatch)
        assert page.text_input(key="endpoint").disabled
        assert "Set by the operator of this page." in said(page.caption)
    monkeypatch.setenv("LENSLET_ENDPOINT", "")
    monkeypatch.setattr(settings, "DEFAULT_ENDPOINT", endpoint.url)
    before = st.get_option("server.address")
    st.config.set_option("server.address", "0.0.0.0")
    try:
        page = ran(AppTest.from_file(APP, default_timeout=60))
        assert page.text_input(key="endpoint").disabled
        assert "Set by" not in said(page.caption) and "Fixed, because this page is public" in said(
            page.caption
        )
    finally:
        st.config.set_option("server.address", before)


def test_endpoint_from_the_sidebar(monkeypatch):
    before = st.get_option("server.address")
    st.config.set_option("server.address", "127.0.0.1")
    try:
        with recording() as endpoint:
            page = ran(AppTest.from_file(APP, default_timeout=60))
            page.text_input(key="endpoint").set_value(f"{endpoint.url}/")
            assert not ran(page).error
            assert f"{endpoint.url}/predict" in page.code[0].value
    finally:
        st.config.set_option("server.address", before)


def test_words():
    assert [percent(share) for share in (0.0001, 0.0005, 0.1234, 0.9994, 0.9995, 1)] == [
        "under 0.1 %", "0.1 %", "12.3 %", "99.9 %", "over 99.9 %", "over 99.9 %",
    ]  # fmt: skip
    assert either(["plain_road"]) == "plain road"
    assert either(["a", "b", "c"]) == "a, b or c"


# (map, where its weight lies)
MAPS = [
    (((1.0, 0.0), (0.0, 0.0)), "upper left"),
    (((0.0, 0.0), (0.0, 1.0)), "lower right"),
    (((1.0, 1.0), (1.0, 1.0)), "centre"),
    (((1.0, 1.0), (0.0, 0.0)), "upper"),
    (((0.0, 1.0), (0.0, 1.0)), "right"),
    (((0.0,),), "nowhere in particular"),
    # A blob in the middle that leans up, and one at the top over a faint ground.
    (((0.0, 0.6, 0.0), (0.1, 1.0, 0.1), (0.0, 0.0, 0.0)), "centre"),
    (((0.1, 1.0, 0.1), (0.2, 0.2, 0.2), (0.2, 0.2, 0.2)), "upper"),
]


@pytest.mark.parametrize(("grid", "words"), MAPS)
def test_region(grid, words):
    assert region(grid) == words


@pytest.mark.slow
def test_real_endpoint(monkeypatch):
    drawing = ROOT / "data" / "sample" / "test" / "forest" / "00.jpg"
    with running() as (address, _):
        monkeypatch.setenv("LENSLET_ENDPOINT", address)
        page = ran(AppTest.from_file(APP, default_timeout=60))
        uploaded(
            page, ("forest.jpg", drawing.read_bytes(), "image/jpeg"), ("no.jpg", b"no picture", "image/jpeg")
        )
    assert "<h3>forest <span>" in html(page) and "lens-map" in html(page)
    assert "This is not a picture in a supported format" in said(page.error)
    assert page.metric[0].label == "accuracy"


RUNNERS = {
    "curl": ["bash", "-c"],
    "Python": [sys.executable, "-c"],
    "JavaScript": [NODE, "--input-type=module", "-e"],
}


@pytest.mark.slow
@pytest.mark.parametrize("key", ["", "a-key-that-is-let-in"])
def test_examples_work(key, tmp_path, monkeypatch):
    """Each example as it stands on the page, run beside a photo.jpg."""
    shutil.copy(ROOT / "data" / "sample" / "test" / "forest" / "00.jpg", tmp_path / "photo.jpg")
    if key:
        monkeypatch.setenv("LENSLET_API_KEYS", hashlib.sha256(key.encode()).hexdigest())
        monkeypatch.setenv("LENSLET_API_KEY", key)
    find_program("curl")
    with running() as (address, _):
        for name, write in examples.LANGUAGES.items():
            command = [*RUNNERS[name], write(address, bool(key))]
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0 and "forest" in done.stdout, (name, done.stdout, done.stderr)


@pytest.mark.slow
def test_examples_fail_where_a_gateway_refuses(tmp_path):
    """By its own words, which are no error of Lenslet's."""
    shutil.copy(ROOT / "data" / "sample" / "test" / "forest" / "00.jpg", tmp_path / "photo.jpg")
    find_program("curl")
    with recording(Reply(403, {"message": "Forbidden"})) as endpoint:
        for name, write in examples.LANGUAGES.items():
            command = [*RUNNERS[name], write(endpoint.url, False)]
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
            assert done.returncode and "Forbidden" in done.stdout + done.stderr, (name, done.stdout)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["beet_salad", "baklava"], "beet salad or baklava"),
        (["a", "b", "c"], "a, b or c"),
        (["a", "b", "c", "d"], "a, b, c or 1 other"),
        (["a", "b", "c", "d", "e", "f", "g"], "a, b, c or 4 others"),
    ],
)
def test_not_sure_names_at_most_three_labels(labels: list[str], words: str) -> None:
    answer = answers.read_answer({**PREDICTION, "prediction_set": labels, "is_certain": False})
    assert answers.verdict(answer) == f"Not sure: {words}."
    assert answers.in_short(answer) == words


def test_not_sure_counts_the_labels_that_are_not_sent() -> None:
    content = {**PREDICTION, "prediction_set": ["a", "b", "c", "d"], "is_certain": False}
    answer = answers.read_answer({**content, "prediction_set_size": 240})
    assert answers.verdict(answer) == "Not sure: a, b, c or 237 others."
