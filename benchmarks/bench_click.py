"""From a click to the repaint of another view, on the demo model in a real JupyterLab.

A head is ablated with a click in the attention view; the clock stops with the first frame after the
one that drew other pixels in the logit lens, in another cell: then they are on the screen. The
reference is the budget. Half a second later both views are at rest: what the tab's main thread
worked until then (CPU, not the clock on the wall) and how many messages went over the kernel's
socket, both ways.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
  const context = canvas.getContext('2d');
  const look = () => {
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
    const words = new Uint32Array(pixels.buffer);
    let sum = 0;
    for (let i = 0; i < words.length; i += 61) sum = (sum * 31 + words[i]) >>> 0;
    return sum;
  };
  let drawn = false;
  for (const name of ['clearRect', 'fillRect', 'drawImage', 'putImageData'])
    context[name] = function (...given) {
      drawn = true;
      return CanvasRenderingContext2D.prototype[name].apply(this, given);
    };
  const before = look();
  window.repainted = null;
  document.addEventListener('click', () => {
    const start = performance.now();
    const tick = (frame) => {
      const now = drawn;
      drawn = false;
      if (!now || look() === before) return requestAnimationFrame(tick);
      window.repainted = frame - start;
    };
    requestAnimationFrame(tick);
  }, { once: true, capture: true });
}"""


def run() -> Iterator[Row]:
    messages = 0

    def count(_frame: object) -> None:
        nonlocal messages
        messages += 1

    def listen(socket: Any) -> None:
        socket.on("framesent", count)
        socket.on("framereceived", count)

    with tempfile.TemporaryDirectory() as name, browser() as chromium:
        folder = Path(name)
        write_notebook(folder / "click.ipynb", *CELLS)
        with serve(folder) as address:
            page = chromium.new_page(viewport={"width": 1300, "height": 1800})
            page.on("websocket", listen)
            lab = Lab(page, address, "click.ipynb").open()
            lab.run_all()
            page.wait_for_selector(".iw-heatmap canvas")
            page.wait_for_timeout(2000)
            devtools = page.context.new_cdp_session(page)
            devtools.send("Performance.enable", {"timeDomain": "threadTicks"})

            def worked() -> float:
                found = devtools.send("Performance.getMetrics")["metrics"]
                return next(m["value"] for m in found if m["name"] == "TaskDuration")

            times, work, counts = [], [], []
            for _ in range(8):
                button = page.locator(".iw-attention").get_by_role("button", name="0.0").first
                page.evaluate(WATCH)
                before, messages = worked(), 0
                button.click()
                page.wait_for_function("window.repainted > 0", timeout=30_000)
                times.append(page.evaluate("window.repainted") / 1000)
                page.wait_for_timeout(500)
                work.append(worked() - before)
                counts.append(messages)
    name = "click to repaint of another view, demo"
    yield Row(name, statistics.median(times), 0.1, "s", "budget", "0.1 s")
    yield Row(f"{name}: CPU of the tab", min(work), None, "s", "")
    yield Row(f"{name}: messages", statistics.median(counts), None, "", "")
