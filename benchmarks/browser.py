"""Seconds from navigation to the first painted canvas, in headless Chromium without a network."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PAINTED = """() => {
  for (const canvas of document.querySelectorAll('canvas')) {
    if (canvas.width < 8 || canvas.height < 8) continue;
    const context = canvas.getContext('2d');
    if (!context) continue;
    const width = Math.min(64, canvas.width), height = Math.min(64, canvas.height);
    const { data } = context.getImageData(0, 0, width, height);
    for (let i = 4; i < data.length; i += 4)
      if (data[i + 3] && (data[i] !== data[0] || data[i + 1] !== data[1])) return true;
  }
  return false;
}"""
# The libraries' WebGL shaders are compiled in software here; hiding WebGL shows their faster path.
NO_WEBGL = """for (const C of [HTMLCanvasElement, OffscreenCanvas]) {
  const get = C.prototype.getContext;
  C.prototype.getContext = function (kind, ...rest) {
    return /webgl/.test(kind) ? null : get.call(this, kind, ...rest);
  };
}"""
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


def chromium_path() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


@contextmanager
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=chromium_path(), args=FLAGS)
        yield chromium
        chromium.close()


def seconds_to_paint(chromium: Any, page: Path, limit: float = 60) -> float | None:
    """None when nothing is painted within ``limit`` seconds, or the page crashes."""
    from playwright.sync_api import Error

    context = chromium.new_context(offline=True, viewport={"width": 1200, "height": 900})
    try:
        tab = context.new_page()
        tab.add_init_script(NO_WEBGL)
        tab.add_init_script(
            f"""(() => {{ const ready = {PAINTED}; const tick = () => {{
              let ok = false; try {{ ok = document.body && ready(); }} catch {{}}
              if (!ok) return requestAnimationFrame(tick);
              requestAnimationFrame(() => {{ window.painted = performance.now(); }}); }};
              requestAnimationFrame(tick); }})()"""
        )
        tab.goto(page.as_uri(), timeout=limit * 1000, wait_until="commit")
        tab.wait_for_function("window.painted > 0", timeout=limit * 1000)
        return float(tab.evaluate("window.painted")) / 1000
    except Error:
        return None
    finally:
        context.close()
