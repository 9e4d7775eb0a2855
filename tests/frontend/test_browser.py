"""The page in a real browser, with a real function behind it: Debian's Chromium, driven by Playwright.

Pictures of what it looked like lie in report/screens/. Those of the README, docs/*.webp, are made again by

    README_SCREENS=1 .venv/bin/pytest tests/frontend/test_browser.py -k readme
"""

import csv
import io
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.support.browser import (
    DESKTOP,
    DRAWINGS,
    KEY,
    NODE,
    PHONE,
    ROOT,
    WAIT_MS,
    Visit,
    choose,
    enter_endpoint,
    find_chromium,
    find_program,
    settle,
    shoot,
    upload,
    wait_for_answers,
)  # fmt: skip
from tests.support.mlflow_server import free_port

pytestmark = pytest.mark.slow
pytest_plugins = ["tests.support.browser_fixtures"]

DOCS = ROOT / "docs"
LARGEST_DOC_BYTES = 150_000
LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
FOREST, SEA, STREET = (DRAWINGS / scene / "00.jpg" for scene in ("forest", "sea", "street"))
NOT_AN_IMAGE = {"name": "notes.jpg", "mimeType": "image/jpeg", "buffer": b"no picture at all\n" * 20}
ALL_SCENES = ["buildings", "forest", "glacier", "mountain", "sea", "street"]


def main_text(page: Page) -> str:
    return page.get_by_test_id("stMain").inner_text()


def errors(page: Page) -> Locator:
    return page.get_by_test_id("stAlert")


def assert_fits(page: Page) -> None:
    """Nothing is cut off at the right: neither the page nor what scrolls within it is wider than the window."""
    too_wide = page.evaluate(
        """() => [document.documentElement, document.querySelector('[data-testid="stMain"]')]
            .filter(each => each.scrollWidth > each.clientWidth + 1).length"""
    )
    assert too_wide == 0


def numbered(folder: Path) -> list[Path]:
    """Two drawings of each scene under names that differ; of one the model is in doubt, one it finds strange."""
    drawings = [DRAWINGS / scene / f"{number}.jpg" for scene in ALL_SCENES for number in ("01", "04")]
    return [Path(shutil.copy(path, folder / f"{path.parent.name}-{path.name}")) for path in drawings]


# --- input methods


def test_one_photo_is_shown_with_its_map_words_and_chart(visit: Visit) -> None:
    page = visit()
    expect(page.get_by_text("It knows buildings, forest, glacier, mountain, sea and street.")).to_be_visible()
    shoot(page, "empty-1440-light")
    upload(page, FOREST)
    wait_for_answers(page, 1)
    expect(page.get_by_role("heading", level=3)).to_have_text(re.compile(r"^forest\s*9\d\.\d %$"))
    expect(page.get_by_text("Sure: no other label is likely enough to count.")).to_be_visible()
    expect(page.get_by_text(re.compile(r"Answered in [\d,]+ ms\."))).to_be_visible()
    said = page.locator('[role="graphics-document"]').get_attribute("aria-label") or ""
    assert re.match(r"Probabilities: forest 9\d\.\d %, ", said)
    assert all(label in said for label in ALL_SCENES)
    photo = page.get_by_role("img", name="00.jpg, which the model takes for forest")
    activation = page.get_by_role(
        "img", name=re.compile("^Hiding what lies .* would change the answer most$")
    )
    assert photo.bounding_box() == activation.bounding_box()  # one over the other
    assert photo.evaluate("image => image.naturalWidth") > 100
    assert float(activation.evaluate("image => getComputedStyle(image).opacity")) == pytest.approx(0.7)
    shoot(page, "one-photo-1440-light")
    assert violations(page) == set()
    page.get_by_role("slider").focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("getComputedStyle(document.querySelector('.lens-map')).opacity === '0.65'")
    settle(page)
    page.get_by_text("Show what the answer rests on").click()
    settle(page)
    expect(activation).to_be_hidden()


def test_several_photos_are_sorted_tabled_and_written_as_by_lenslet_predict(
    visit: Visit, tmp_path: Path
) -> None:
    files = numbered(tmp_path)
    (tmp_path / "notes.jpg").write_bytes(NOT_AN_IMAGE["buffer"])  # type: ignore[arg-type]
    page = visit()
    upload(page, *files, tmp_path / "notes.jpg")
    wait_for_answers(page, 12)
    certainties = [
        float(text)
        for text in re.findall(r"(\d+\.\d) %", " ".join(page.locator(".lens-answer h3").all_inner_texts()))
    ]
    assert len(certainties) == 12
    assert certainties == sorted(certainties)  # the least certain one first
    expect(page.get_by_text("Not sure: mountain or glacier.")).to_be_visible()  # mountain-04.jpg
    expect(page.get_by_text("Probably none of these labels").first).to_be_visible()  # sea-01.jpg
    expect(errors(page)).to_contain_text("notes.jpg")
    expect(errors(page)).to_contain_text("This is not a picture in a supported format")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    shown = list(csv.reader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8"))))
    subprocess.run(
        [sys.executable, "-m", "lenslet", "predict", *[path.name for path in files], "notes.jpg",
         "--model", ROOT / "model", "--csv", "predicted.csv"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, capture_output=True,
    )  # fmt: skip
    predicted = list(csv.reader(io.StringIO((tmp_path / "predicted.csv").read_text(encoding="utf-8"))))
    assert shown[0] == predicted[0]
    assert shown[0] == [
        "file",
        "label",
        "probability",
        "is_certain",
        "prediction_set",
        "is_in_distribution",
        "ood_score",
        *(f"probability: {scene}" for scene in ALL_SCENES),
        "error",
    ]
    # The order differs, and the sentence about a broken file; nothing else does.
    assert sorted(row[:-1] for row in shown[1:]) == sorted(row[:-1] for row in predicted[1:])
    assert [row[0] for row in shown[1:] if row[-1]] == ["notes.jpg"]
    assert_fits(page)
    shoot(page, "several-1440-light")


def test_photo_that_is_too_large_for_the_gateway_is_scaled_down(visit: Visit, tmp_path: Path) -> None:
    noise = Image.frombytes("RGB", (3000, 2000), random.Random(0).randbytes(3000 * 2000 * 3))
    exif = Image.Exif()
    exif[0x0112] = 6  # taken with the camera on its side: to be shown as 2000 × 3000
    noise.save(tmp_path / "large.jpg", quality=90, exif=exif)
    assert (tmp_path / "large.jpg").stat().st_size > 4_400_000
    page = visit()
    upload(page, tmp_path / "large.jpg")
    wait_for_answers(page, 1)
    expect(
        page.get_by_text(
            re.compile(r"Scaled down from [\d,]+ × [\d,]+ to 1,365 × 2,048 pixels before sending")
        )
    ).to_be_visible()
    photo = page.get_by_role("img", name=re.compile("^large.jpg, which"))
    width, height = photo.evaluate("image => [image.naturalWidth, image.naturalHeight]")
    assert height / width == pytest.approx(1.5, abs=0.01)  # upright
    assert violations(page) == set()


def test_link_is_fetched_by_the_endpoint(visit: Visit, links: SimpleNamespace) -> None:
    page = visit()
    choose(page, "Link")
    page.get_by_label("Link to a photo").fill(f"{links.address}/photo")
    page.get_by_role("button", name="Classify the link").click()
    wait_for_answers(page, 1)
    expect(page.get_by_role("heading", level=3)).to_contain_text("sea")
    assert (
        page.locator(".lens-stack img").first.evaluate("image => image.complete && image.naturalWidth") > 100
    )
    shoot(page, "link-1440-light")
    page.get_by_label("Link to a photo").fill(f"{links.address}/missing")
    page.get_by_role("button", name="Classify the link").click()
    expect(errors(page)).to_contain_text("The link's server did not deliver the photo")
    page.get_by_label("Link to a photo").fill("a photo of mine.jpg")
    page.get_by_role("button", name="Classify the link").click()
    expect(page.get_by_text("A link begins with https://, http:// or s3://")).to_be_visible()


def test_camera_that_is_denied_is_explained_and_one_that_is_allowed_works(visit: Visit) -> None:
    page = visit()
    choose(page, "Camera")
    expect(page.get_by_text("or if you refused, allow the camera")).to_be_visible()
    assert (
        page.get_by_role("button", name="Take photo").count() == 0
        or page.get_by_role("button", name="Take photo").is_disabled()
    )
    page.wait_for_timeout(500)
    shoot(page, "camera-denied-1440-light")
    page = visit(permissions=["camera"])
    choose(page, "Camera")
    page.wait_for_function("(video => video && video.videoWidth > 0)(document.querySelector('video'))")
    page.get_by_role("button", name="Take photo").click()
    wait_for_answers(page, 1)
    expect(page.get_by_text("camera.jpg", exact=True)).to_be_visible()


def test_samples_need_no_photo_of_ones_own(visit: Visit) -> None:
    page = visit(PHONE, "dark")
    choose(page, "Samples")
    for scene in ALL_SCENES:
        expect(page.get_by_role("img", name=f"drawing of {scene}")).to_be_visible()
    assert_fits(page)
    shoot(page, "samples-390-dark")
    page.get_by_role("button", name="Try glacier").click()
    wait_for_answers(page, 1)
    expect(page.get_by_role("heading", level=3)).to_be_visible()
    page.get_by_role("button", name="Try all of them").click()
    wait_for_answers(page, 7)
    page.get_by_role("button", name="Start over").click()
    expect(page.get_by_text("Nothing here yet")).to_be_visible()


# --- the other tabs


def test_model_card_has_what_the_endpoint_says(visit: Visit, function: str) -> None:
    described = requests.get(function, timeout=30).json()
    page = visit()
    page.get_by_role("tab", name="Model card").click()
    panel = page.get_by_role("tabpanel", name="Model card")
    expect(panel.get_by_role("heading", name=described["name"])).to_be_visible()
    test = described["metrics"]["test"]
    for expected in (
        described["version"], *ALL_SCENES, f"{test['accuracy']:.1%}".replace("%", " %"),
        f"{test['accuracy_low']:.1%}".replace("%", " %"), "1,560", test["data_fingerprint"][:12],
        "160 × 160 pixels", "Limits",
    ):  # fmt: skip
        expect(panel).to_contain_text(expected)
    assert_fits(page)
    shoot(page, "card-1440-light")


@pytest.mark.parametrize(
    ("number", "command"),
    [(0, ["bash", "example"]), (1, [sys.executable, "example"]), (2, [str(NODE), "example.mjs"])],
    ids=["curl", "python", "javascript"],
)
def test_request_examples_can_be_copied_and_work(
    visit: Visit, tmp_path: Path, number: int, command: list[str]
) -> None:
    if number == 0:
        find_program("curl")
    page = visit()
    page.get_by_role("tab", name="Request examples").click()
    panel = page.get_by_role("tabpanel", name="Request examples")
    code = panel.get_by_test_id("stCode").nth(number)
    expect(code).to_be_visible()
    if number == 0:
        shoot(page, "examples-1440-light")
    (tmp_path / command[1]).write_text(code.locator("code").inner_text(), encoding="utf-8")
    shutil.copy(FOREST, tmp_path / "photo.jpg")
    environment = {**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "forest" in done.stdout


# --- what goes wrong


def test_endpoint_that_is_down_is_a_sentence_and_comes_back(
    visit: Visit, open_address: str, function: str
) -> None:
    page = visit(address=open_address)
    nowhere = f"http://127.0.0.1:{free_port()}"
    enter_endpoint(page, nowhere)
    expect(errors(page).first).to_contain_text(f"Nothing answers at {nowhere}")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    upload(page, FOREST)
    expect(page.get_by_text("00.jpg", exact=True).last).to_be_visible(timeout=WAIT_MS)
    settle(page)
    assert violations(page) == set()
    shoot(page, "down-1440-light")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("Classifying photo 1 of 1…")).to_be_visible()
    # What failed last time is not said while it is tried again, nor that something wakes up where nothing is.
    expect(errors(page).filter(visible=True)).to_have_count(0)
    expect(page.get_by_text("The endpoint is starting")).to_have_count(0)
    settle(page)
    enter_endpoint(page, function)
    page.get_by_role("button", name="Try again").click()
    wait_for_answers(page, 1)
    expect(errors(page)).to_have_count(0)


def test_photo_taken_out_of_the_uploader_is_gone(visit: Visit) -> None:
    page = visit()
    upload(page, FOREST, SEA)
    wait_for_answers(page, 2)
    page.get_by_test_id("stFileChipDeleteBtn").first.click()
    wait_for_answers(page, 1)


def test_keys_are_asked_for_and_links_to_this_computer_refused(
    visit: Visit, open_address: str, closed_function: str
) -> None:
    page = visit(address=open_address)
    enter_endpoint(page, closed_function)
    expect(errors(page).first).to_contain_text("This endpoint asks for an API key")
    enter_endpoint(page, closed_function, "a wrong one")
    expect(errors(page).first).to_contain_text("The endpoint does not accept this API key")
    assert violations(page) == set()
    shoot(page, "wrong-key-1440-light")
    enter_endpoint(page, closed_function, KEY)
    expect(errors(page)).to_have_count(0)
    choose(page, "Link")
    page.get_by_label("Link to a photo").fill("http://127.0.0.1/photo.jpg")
    page.get_by_role("button", name="Classify the link").click()
    expect(errors(page)).to_contain_text("The endpoint refuses this link")
    expect(errors(page)).to_contain_text("not on the public internet")
    settle(page)
    shoot(page, "link-refused-1440-light")
    page.get_by_role("tab", name="Request examples").click()
    code = page.get_by_role("tabpanel", name="Request examples").inner_text()
    assert "$LENSLET_API_KEY" in code
    assert KEY not in code  # copied code is shown to others


def test_files_that_cannot_be_sent_do_not_stop_the_others(visit: Visit) -> None:
    page = visit(PHONE)
    large = {"name": "film.mov", "mimeType": "video/quicktime", "buffer": bytes(5_000_000)}
    empty = {"name": "empty.png", "mimeType": "image/png", "buffer": b""}
    broken = {"name": "half.jpg", "mimeType": "image/jpeg", "buffer": FOREST.read_bytes()[:4000]}
    sea = {"name": "sea.jpg", "mimeType": "image/jpeg", "buffer": SEA.read_bytes()}
    upload(page, large, empty, NOT_AN_IMAGE, broken, sea)
    wait_for_answers(page, 1)
    text = "\n".join(errors(page).all_inner_texts())
    for name, sentence in {
        "film.mov": "The file is larger than the 4.4 MB",
        "empty.png": "The file is empty",
        "notes.jpg": "This is not a picture in a supported format",
        "half.jpg": "The picture is damaged or cut off",
    }.items():
        assert name in text
        assert sentence in text
    assert_fits(page)
    shoot(page, "errors-390-light")


def test_answer_is_in_the_first_window_of_a_phone(visit: Visit) -> None:
    page = visit(PHONE)
    upload(page, SEA)
    wait_for_answers(page, 1)
    verdict = page.locator(".lens-verdict").bounding_box()
    assert verdict and verdict["y"] + verdict["height"] < 844
    names = [f"IMG_20261129_13021{number}_HDR.jpg" for number in range(9)]
    upload(page, *({"name": name, "mimeType": "image/jpeg", "buffer": FOREST.read_bytes()} for name in names))
    wait_for_answers(page, 10)
    found = page.get_by_test_id("stTable").first
    heading, column = found.bounding_box(), found.get_by_role("columnheader", name="verdict").bounding_box()
    assert heading and heading["y"] < 844
    assert column and column["x"] + column["width"] <= PHONE
    shoot(page, "many-390-light")


@contextmanager
def waking(function: str, sleep_s: float) -> Iterator[str]:
    """An endpoint whose first answers take long, as those of a function that nobody has called for a while."""
    description = requests.get(function, timeout=30).content

    class Sleepy(BaseHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

        def do_GET(self) -> None:
            time.sleep(sleep_s)
            self.send_response(200)
            self.send_header("Content-Length", str(len(description)))
            self.end_headers()
            self.wfile.write(description)

    with ThreadingHTTPServer(("127.0.0.1", 0), Sleepy) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_cold_start_is_announced(visit: Visit, open_address: str, function: str) -> None:
    with waking(function, sleep_s=3) as address:
        page = visit(address=open_address)
        box = page.get_by_label("Address")
        box.fill(address)
        box.press("Enter")
        expect(page.get_by_text("Asking the endpoint… If it is only just starting")).to_be_visible()
        shoot(page, "waking-1440-light", whole=False)
        settle(page)
        expect(page.get_by_text("It knows buildings")).to_be_visible()


# --- for everybody

# (axe's rule, part of the node's HTML) of what is Streamlit's own and no page can change, each with the reason.
NOT_OURS = {
    # Folded away on a phone, the sidebar stays a box that could scroll, with nothing in it that takes the focus.
    ("scrollable-region-focusable", 'data-testid="stSidebarContent"'),
}


def violations(page: Page) -> set[str]:
    """Rule, impact and node of what axe finds at levels A and AA, but for `NOT_OURS`."""
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": LEVELS}})
    return {
        f"{each['id']} ({each['impact']}): {node['html'][:300]} {node['target']}"
        for each in found.response["violations"]
        for node in each["nodes"]
        if not any(each["id"] == rule and part in node["html"] for rule, part in NOT_OURS)
    }


def test_violations_are_found(visit: Visit) -> None:
    page = visit()
    assert violations(page) == set()
    page.locator(".lens-empty").evaluate(
        'box => box.innerHTML += \'<img src="data:,"><p style="color: #ddd">faint</p>\''
    )
    assert {each.split()[0] for each in violations(page)} == {"image-alt", "color-contrast"}


# Every input method in each width and each scheme once; results and the other tabs in all four.
@pytest.mark.parametrize(
    ("width", "scheme", "methods"),
    [
        (PHONE, "light", []),
        (PHONE, "dark", ["Link", "Camera", "Samples"]),
        (DESKTOP, "light", ["Link", "Camera", "Samples"]),
        (DESKTOP, "dark", []),
    ],
)
def test_page_is_accessible_and_fits(visit: Visit, width: int, scheme: str, methods: list[str]) -> None:
    page = visit(width, scheme)
    found = violations(page)
    for method in methods:
        choose(page, method)
        found |= violations(page)
        assert_fits(page)
    choose(page, "Upload")
    upload(page, FOREST, SEA, STREET, NOT_AN_IMAGE)
    wait_for_answers(page, 3)
    assert_fits(page)
    found |= violations(page)
    shoot(page, f"gallery-{width}-{scheme}")
    for tab in ("Model card", "Request examples"):
        page.get_by_role("tab", name=tab).click()
        settle(page)
        assert_fits(page)
        found |= violations(page)
        shoot(page, f"{tab.lower().replace(' ', '-')}-{width}-{scheme}")
    background = page.get_by_test_id("stApp").evaluate("app => getComputedStyle(app).backgroundColor")
    red = int(re.findall(r"\d+", background)[0])
    assert (red < 60) is (scheme == "dark")
    assert found == set()


def focused(page: Page) -> str:
    """The accessible name, roughly, of the control that has the focus; other elements give none."""
    name: str = page.evaluate(
        """() => { const e = document.activeElement;
            return e.matches('a, button, input, [role]') && !e.matches('[role="tabpanel"], [role="main"], main')
                ? e.getAttribute('aria-label') || e.labels?.[0]?.innerText || e.innerText : '' }"""
    )
    return name.strip()


def tab_to(page: Page, name: str) -> list[str]:
    """Press Tab until something of this name has the focus; gives the names on the way."""
    passed: list[str] = []
    while not passed or name not in passed[-1].splitlines():  # an icon is a line of its own
        page.keyboard.press("Tab")
        passed.append(focused(page))
        assert len(passed) < 60, passed
    return passed


def test_everything_can_be_done_with_the_keyboard(visit: Visit) -> None:
    page = visit()
    passed = tab_to(page, "Upload")
    assert "Classify" in passed  # the chosen tab; arrows lead to the others
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert focused(page) == "Samples"
    page.keyboard.press("Enter")
    settle(page)
    tab_to(page, "Try forest")
    outline = page.evaluate(
        "(style => style.outlineStyle + style.boxShadow)(getComputedStyle(document.activeElement))"
    )
    assert outline not in ("nonenone", "none"), "the focus cannot be seen"
    page.keyboard.press("Enter")
    wait_for_answers(page, 1)
    tab_to(page, "Show what the answer rests on")
    page.keyboard.press("Space")
    settle(page)
    expect(page.locator(".lens-map")).to_be_hidden()
    tab_to(page, "Start over")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Nothing here yet")).to_be_visible()


# --- pictures for the README


# Name → width and scheme of the window, drawings that it shows.
README_PICTURES = {
    "page-photo": (1100, "light", ["mountain/00"]),
    "page-gallery": (
        1100,
        "dark",
        ["mountain/04", "sea/07", "street/00"],
    ),  # uncertain, out of distribution, certain
    "page-phone": (PHONE, "light", ["street/00"]),
}


@pytest.mark.parametrize("name", README_PICTURES)
def test_pictures_of_the_readme_are_there_and_small(visit: Visit, name: str) -> None:
    if os.environ.get("README_SCREENS"):
        draw_picture(visit, name, DOCS / f"{name}.webp")
    assert 5_000 < (DOCS / f"{name}.webp").stat().st_size <= LARGEST_DOC_BYTES


def draw_picture(visit: Visit, name: str, target: Path) -> None:
    width, scheme, drawings = README_PICTURES[name]
    page = visit(width, scheme, device_scale_factor=2 if width == PHONE else 1)
    if width != PHONE:
        page.get_by_test_id("stSidebarHeader").hover()
        page.get_by_test_id("stSidebarCollapseButton").click()
    for drawing in drawings:
        upload(
            page,
            {
                "name": f"{drawing.replace('/', '-')}.jpg",
                "mimeType": "image/jpeg",
                "buffer": (DRAWINGS / f"{drawing}.jpg").read_bytes(),
            },
        )
        settle(page)
    wait_for_answers(page, len(drawings))
    if width == PHONE:
        top = page.locator(".lens-answer").evaluate("answer => answer.getBoundingClientRect().top")
        page.get_by_test_id("stMain").evaluate(
            "(main, top) => main.scrollTop += top - 70", top
        )  # 70: the header
    page.mouse.move(0, 0)
    page.wait_for_timeout(1000)  # the sidebar glides
    with Image.open(shoot(page, name, whole=width != PHONE)) as picture:
        picture.convert("RGB").save(target, "WEBP", quality=80, method=6)


def test_missing_browser_fails_in_ci_and_is_a_sentence_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="apt-get install"):
        find_chromium()
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="apt-get install"):
        find_chromium()
