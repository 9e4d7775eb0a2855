"""Debian's Chromium, the page and the functions that it asks: one of each for all browser tests."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import playwright
import pytest
from playwright.sync_api import Page
from playwright.sync_api import TimeoutError as NotYet

from tests.support.mlflow_server import free_port

ROOT = Path(__file__).parents[2]
SCREENS = ROOT / "report" / "screens"
DRAWINGS = ROOT / "data" / "sample" / "test"
KEY = "a key of these tests"
PHONE, DESKTOP = 390, 1440
WAIT_MS = 60_000
NODE = Path(playwright.__file__).parent / "driver" / "node"  # Playwright brings it along
# A fake camera is there; whether the page may use it is for each test to say.
OPTIONS = ["--no-sandbox", "--disable-background-networking", "--use-fake-device-for-media-stream"]

Visit = Callable[..., Page]


def find_program(*names: str) -> str:
    """Path of the first program that is installed. Without one, tests are skipped, and in CI they fail."""
    found = next(filter(None, map(shutil.which, names)), None)
    if not found:
        sentence = f"this test needs {names[0]}: apt-get install --no-install-recommends {names[0]}"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(sentence)
    return str(found)


def find_chromium() -> str:
    return find_program("chromium", "chromium-browser")


@contextmanager
def running_page(**environment: str) -> Iterator[str]:
    """The page as `make page` starts it, but from `.venv` and on a free port; gives its address once it is printed."""
    bare = {
        name: value for name, value in os.environ.items() if not name.startswith(("LENSLET_", "STREAMLIT_"))
    }
    port = str(free_port())
    process = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", "frontend/app.py", "--server.port", port,
         "--server.headless", "true", "--server.fileWatcherType", "none"],
        cwd=ROOT, env={**bare, **environment}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout
        address = next(
            (found for line in process.stdout if (found := re.search(r"URL: (http://\S+)", line))), None
        )
        assert address, "the page did not start"
        # What it prints must be read, else it fills the pipe and the page blocks.
        Thread(target=process.stdout.read, daemon=True).start()
        yield address[1]
    finally:
        process.kill()
        process.wait()


def settle(page: Page) -> None:
    """Wait until the page's script has run to its end, and what it made is drawn; it must not have failed."""
    for pause_ms in (100, 0):  # what was just clicked may start it once more
        page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
        page.wait_for_timeout(pause_ms)
    page.wait_for_function("document.fonts.status === 'loaded'")
    assert page.get_by_test_id("stException").count() == 0, page.get_by_test_id(
        "stException"
    ).first.inner_text()


def choose(page: Page, method: str) -> None:
    page.get_by_role("radiogroup", name="Input method").get_by_role("radio", name=method).click()
    settle(page)


def choose_option(page: Page, box: str, option: str) -> None:
    """Open the list of the select box and take an option; a rerun of the page's script may have closed the list."""
    wanted = page.get_by_role("option", name=option, exact=True)
    for _ in range(WAIT_MS // 5_000):
        if not wanted.is_visible():
            page.get_by_role("combobox", name=box).click()
        try:
            wanted.click(timeout=5_000)
            return settle(page)
        except NotYet:
            continue
    raise AssertionError(f"{box} offers no {option}")


def upload(page: Page, *files: Path | dict[str, Any]) -> None:
    """Files are paths, or dictionaries of `name`, `mimeType` and `buffer`."""
    given: list[Any] = [
        {"name": file.name, "mimeType": "image/jpeg", "buffer": file.read_bytes()}
        if isinstance(file, Path)
        else file
        for file in files
    ]
    page.locator('input[type="file"]').set_input_files(given)


def wait_for_answers(page: Page, count: int) -> None:
    """Wait for this number of cards, each with its chart drawn."""
    page.wait_for_function(
        f"document.querySelectorAll('.lens-answer').length === {count}"
        f' && document.querySelectorAll(\'[data-testid="stVegaLiteChart"] canvas,'
        f' [data-testid="stVegaLiteChart"] svg\').length >= {count}'
    )
    settle(page)


def enter_endpoint(page: Page, address: str, key: str = "") -> None:
    """Through the sidebar, which is folded away on a phone."""
    box = page.get_by_label("Address")
    if not box.is_visible():
        page.get_by_test_id("stExpandSidebarButton").click()
    box.fill(address)
    box.press("Enter")
    if key:
        page.get_by_label("API key").fill(key)
        page.get_by_label("API key").press("Enter")
    settle(page)


def shoot(page: Page, name: str, whole: bool = True) -> Path:
    """A picture of the window, or of the `whole` page, in report/screens/."""
    SCREENS.mkdir(parents=True, exist_ok=True)
    path = SCREENS / f"{name}.png"
    size = page.viewport_size
    assert size
    if whole:  # Streamlit scrolls inside of the page, so that a picture of the whole needs a window as high
        height = page.get_by_test_id("stMain").evaluate("main => main.scrollHeight")
        page.set_viewport_size({"width": size["width"], "height": max(size["height"], min(height, 6000))})
        page.wait_for_timeout(300)
    page.screenshot(path=path)
    page.set_viewport_size(size)
    return path
