"""From a click to the repaint of another view, on the demo model in a real JupyterLab.

A head is ablated with a click in the attention view; the clock stops two frames after the pixels of
the logit lens, in another cell, have changed. The reference is the budget.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.browser import browser
from benchmarks.table import Row
from tests.browser.lab import Lab, serve, write_notebook

CELLS = (
    """import interp_widgets as iw
session = iw.demo()
prompt = session.prompt("When Mary and John went to the store, John gave a drink to")""",
    "iw.attention(prompt).view(layer=0, head=0)",
    "iw.logit_lens(prompt)",
)
WATCH = """() => {
  const canvas = document.querySelector('.iw-heatmap canvas');
  const look = () => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let sum = 0;
    for (let i = 0; i < data.length; i++) sum = (sum * 31 + data[i]) >>> 0;
    return sum;
  };
  const before = look();
  window.repainted = null;
  document.addEventListener('click', () => {
    const start = performance.now();
    const tick = () => {
      if (look() === before) return requestAnimationFrame(tick);
      requestAnimationFrame(() => { window.repainted = performance.now() - start; });
    };
    requestAnimationFrame(tick);
  }, { once: true, capture: true });
}"""


def run() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name, browser() as chromium:
        folder = Path(name)
        write_notebook(folder / "click.ipynb", *CELLS)
        with serve(folder) as address:
            page = chromium.new_page(viewport={"width": 1300, "height": 1800})
            lab = Lab(page, address, "click.ipynb").open()
            lab.run_all()
            page.wait_for_selector(".iw-heatmap canvas")
            page.wait_for_timeout(2000)
            times = []
            for _ in range(7):
                button = page.locator(".iw-attention").get_by_role("button", name="0.0").first
                page.evaluate(WATCH)
                button.click()
                page.wait_for_function("window.repainted > 0", timeout=30_000)
                times.append(page.evaluate("window.repainted") / 1000)
                page.wait_for_timeout(500)
    yield Row(
        "click to repaint of another view, demo", statistics.median(times), 0.1, "s", "budget"
    )
