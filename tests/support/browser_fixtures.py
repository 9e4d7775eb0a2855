"""Debian's Chromium, the page and the functions it asks: for modules that name this one in `pytest_plugins`."""

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Request, sync_playwright

from bench.loopback import running as running_on_loopback
from tests.support.browser import (
    DESKTOP,
    DRAWINGS,
    KEY,
    OPTIONS,
    PHONE,
    ROOT,
    WAIT_MS,
    Visit,
    find_chromium,
    running_page,
    settle,
)
from tests.support.link_server import serving_links


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = find_chromium()
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=OPTIONS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def links() -> Iterator[SimpleNamespace]:
    with serving_links((DRAWINGS / "sea" / "00.jpg").read_bytes()) as server:
        yield server


@pytest.fixture(scope="module")
def function(links: SimpleNamespace) -> Iterator[str]:
    """A function that fetches from `links`, which no setting of a real one allows."""
    with running_on_loopback("--workers", "2", LENSLET_LINK_HOSTS=links.host) as (address, _):
        yield address


@pytest.fixture(scope="module")
def closed_function() -> Iterator[str]:
    """A function as it is shipped, that asks for `KEY`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lenslet", "serve", "--port", "0"],
        cwd=ROOT,
        env={**os.environ, "LENSLET_API_KEYS": hashlib.sha256(KEY.encode()).hexdigest()},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        address = re.search(r"http://\S+", process.stdout.readline())
        assert address
        Thread(target=process.stdout.read, daemon=True).start()
        yield address.group()
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def page_address(function: str) -> Iterator[str]:
    """The page as `make serve` starts it: its endpoint is set."""
    with running_page(LENSLET_ENDPOINT=function) as address:
        yield address


@pytest.fixture(scope="module")
def open_address() -> Iterator[str]:
    """The page without an endpoint of its own: its user enters one."""
    with running_page() as address:
        yield address


@pytest.fixture
def visit(browser: Browser, page_address: str) -> Iterator[Visit]:
    """Opens the page, by default at its widest and light; fails if it asked anybody but this computer."""
    contexts, other_hosts, errors = [], [], []

    def note(request: Request) -> None:
        if not re.match(r"(https?|wss?)://127\.0\.0\.1[:/]|data:|blob:", request.url):
            other_hosts.append(request.url)

    def open_page(
        width: int = DESKTOP, scheme: Any = "light", address: str = page_address, **options: Any
    ) -> Page:
        height = 844 if width == PHONE else 900
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            reduced_motion="reduce",
            **options,
        )
        contexts.append(context)
        context.set_default_timeout(WAIT_MS)
        page = context.new_page()
        page.on("request", note)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        settle(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not other_hosts, "the page asked somebody else"
    assert not errors, "a script of the page failed"
