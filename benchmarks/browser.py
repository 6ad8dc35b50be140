"""Headless Chromium without a network: when a page is painted and what it holds then."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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


def paint(
    chromium: Any,
    page: Path,
    ready: str,
    scripts: Mapping[str, Path] | None = None,
    limit: float = 60,
) -> dict[str, float] | None:
    """Seconds from navigation until ``ready`` holds, and the megabytes of the heap then.

    None when that takes longer than ``limit`` seconds, or the page crashes. Requests for
    ``scripts``, by file name, are answered from disk, all others fail.
    """
    from playwright.sync_api import Error

    def answer(route: Any) -> None:
        name = route.request.url.rsplit("/", 1)[-1].split("?")[0]
        path = (scripts or {}).get(name if name.endswith(".js") else f"{name}.js")
        if path is None:
            return route.abort()
        headers = {"Access-Control-Allow-Origin": "*"}
        return route.fulfill(path=str(path), content_type="text/javascript", headers=headers)

    context = chromium.new_context(viewport={"width": 1200, "height": 900})
    context.route(lambda url: url.startswith("http"), answer)
    try:
        tab = context.new_page()
        tab.add_init_script(NO_WEBGL)
        tab.add_init_script(
            f"""(() => {{ const ready = {ready}; const tick = () => {{
              let ok = false; try {{ ok = document.body && ready(); }} catch {{}}
              if (!ok) return requestAnimationFrame(tick);
              requestAnimationFrame(() => {{ window.painted = performance.now(); }}); }};
              requestAnimationFrame(tick); }})()"""
        )
        tab.goto(page.as_uri(), timeout=limit * 1000, wait_until="commit")
        tab.wait_for_function("window.painted > 0", timeout=limit * 1000)
        return {"seconds": tab.evaluate("window.painted") / 1000, "heap": heap(tab)}
    except Error:
        return None
    finally:
        context.close()


def heap(tab: Any) -> float:
    """Megabytes of a page's JavaScript heap after a garbage collection, array buffers included."""
    tools = tab.context.new_cdp_session(tab)
    tools.send("HeapProfiler.collectGarbage")
    usage = tools.send("Runtime.getHeapUsage")
    return float(usage["usedSize"] + usage.get("backingStorageSize", 0)) / 1e6
