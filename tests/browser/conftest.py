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


@pytest.fixture
def offline(chromium):
    """Open a file in a page that has no network; console errors and requests fail the test."""
    opened = []
    complaints: list[str] = []

    def open_file(path, **options):
        context = chromium.new_context(offline=True, **options)
        opened.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on(
            "console",
            lambda m: complaints.append(f"console: {m.text}") if m.type == "error" else None,
        )
        page.on(
            "request",
            lambda r: (
                None
                if r.url.startswith(("file:", "blob:", "data:"))
                else complaints.append(f"request: {r.url}")
            ),
        )
        page.goto(Path(path).resolve().as_uri())
        page.wait_for_selector(".iw-root canvas, .iw-root .iw-body > *")
        return page

    yield open_file
    for context in opened:
        context.close()
    assert complaints == []
