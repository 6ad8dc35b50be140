"""What a test waits for, so that on a slow machine it only waits longer.

``expect`` is Playwright's, for all that is an element; ``until`` is for pixels, clipboards and
kernels; ``still`` comes before a click at a point, and before saying that nothing happened.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import contextmanager

import pytest

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect
SECONDS = 20
expect.set_options(timeout=SECONDS * 1000)

STILL = """element => new Promise(done => {
  let box, since, frames;
  const again = () => { since = performance.now(); frames = 0; };
  const watch = new MutationObserver(again);
  const all = {subtree: true, childList: true, attributes: true, characterData: true};
  for (const root of document.querySelectorAll('.iw-root')) watch.observe(root, all);
  const look = () => {
    const { x, y, width, height } = element.getBoundingClientRect();
    if (box && [box.x - x, box.y - y, box.width - width, box.height - height].some(Boolean)) again();
    box = { x, y, width, height };
    frames += 1;
    if (frames > 4 && performance.now() - since > 120) { watch.disconnect(); done(box); }
    else requestAnimationFrame(look);
  };
  again();
  look();
})"""


def until(true: Callable[[], object], what: str = "what was waited for", seconds=SECONDS):
    """Ask until the answer is true; returns it."""
    end = time.monotonic() + seconds
    while not (answer := true()):
        if time.monotonic() > end:
            pytest.fail(f"not within {seconds} s: {what}")
        time.sleep(0.05)
    return answer


def still(locator) -> dict:
    """The box of an element, once it and the insides of all views have been at rest for a moment."""
    locator.scroll_into_view_if_needed()
    return locator.evaluate(STILL)


@contextmanager
def repainted(canvas):
    """Wait, after what is done inside, until the canvas shows something else."""
    pixels = "canvas => canvas.toDataURL()"
    before = canvas.evaluate(pixels)
    yield
    until(lambda: canvas.evaluate(pixels) != before, f"another picture in {canvas}")
