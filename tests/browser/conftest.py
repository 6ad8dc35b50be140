"""A Chromium for the browser tests; they are skipped, with the reason, where there is none."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

ARGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ALL_THERE = """() => document.querySelectorAll('.iw-root .iw-title').length >=
    JSON.parse(document.getElementById('iw-data')?.textContent ?? '{"views": []}').views.length"""
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium(playwright) -> str | None:
    """Return the browser of ``$CHROMIUM``, of the system, or playwright's own."""
    wish = os.environ.get("CHROMIUM")
    if wish:
        return wish if Path(wish).is_file() else None
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    own = playwright.chromium.executable_path
    return found or (own if Path(own).is_file() else None)


@pytest.fixture(scope="session")
def playwright():
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def chromium(playwright):
    """The browser, one for all tests."""
    path = find_chromium(playwright)
    if path is None:
        pytest.skip("no Chromium: set CHROMIUM, install it, or run `playwright install chromium`")
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    browser = playwright.chromium.launch(
        executable_path=path, args=[*ARGS, "--no-sandbox"] if root else ARGS
    )
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def new_page(chromium):
    """Open an empty page; ``SLOW=6`` makes its CPU six times slower, so that races come to light."""

    def opened(**options):
        context = chromium.new_context(**options)
        context.set_default_timeout(60_000)
        page = context.new_page()
        if rate := os.environ.get("SLOW"):
            throttle = {"rate": float(rate)}
            context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", throttle)
        page.complaints = []
        page.on("pageerror", lambda error: page.complaints.append(f"error: {error}"))
        return page

    return opened


@pytest.fixture
def offline(new_page):
    """Open a file in a page that has no network; console errors and requests fail the test."""
    opened = []

    def open_file(path, **options):
        page = new_page(offline=True, **options)
        opened.append(page)
        say = page.complaints.append
        page.on("console", lambda m: m.type == "error" and say(f"console: {m.text}"))
        page.on(
            "request",
            lambda r: r.url.startswith(("file:", "blob:", "data:")) or say(f"request: {r.url}"),
        )
        from tests.browser.waiting import still

        page.goto(Path(path).resolve().as_uri())
        page.wait_for_selector(".iw-root canvas, .iw-root .iw-body > *")
        page.wait_for_function(ALL_THERE)
        still(page.locator("body"))
        return page

    yield open_file
    for page in opened:
        page.context.close()
    assert [said for page in opened for said in page.complaints] == []
