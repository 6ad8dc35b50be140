"""Frames a second of the circuit view while it is panned, zoomed and a node is dragged.

Software rendering in headless Chromium, no GPU: timestamps of requestAnimationFrame while a script
moves the pointer once a frame. ``ours`` is the mean rate; the slowest twentieth of the frames and
the time to the full picture have rows of their own. The reference is the budget of 30 frames.
Run it alone: ``chrt -r 1 python -m benchmarks circuit_view``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.browser import browser
from benchmarks.table import Row

SIZES = (2_000, 8_000, 32_491)
FRAMES = 90
WANTED = 30.0

MOVE = """async ([kind, frames]) => {
  const stage = document.querySelector('.iw-stage');
  const node = document.querySelector("[data-node='a6.h6']");
  const target = kind === 'drag' ? node : stage;
  const at = (kind === 'drag' ? node : stage).getBoundingClientRect();
  const from = { x: at.x + at.width / 2, y: at.y + at.height / 2 };
  const fire = (on, type, x, y, buttons) => on.dispatchEvent(new PointerEvent(type, {
    bubbles: true, cancelable: true, button: 0, buttons, clientX: x, clientY: y, pointerId: 1 }));
  stage.setPointerCapture = () => undefined;
  fire(target, 'pointerdown', from.x, from.y, 1);
  const stamps = [];
  for (let i = 0; i < frames; i++) {
    stamps.push(await new Promise(requestAnimationFrame));
    const a = (i / frames) * 2 * Math.PI;
    if (kind === 'zoom') stage.dispatchEvent(new WheelEvent('wheel', { bubbles: true,
      cancelable: true, ctrlKey: true, deltaY: Math.sin(a) > 0 ? -14 : 14,
      clientX: from.x, clientY: from.y }));
    else fire(stage, 'pointermove', from.x + 160 * Math.sin(a), from.y + 90 * Math.sin(2 * a), 1);
  }
  fire(stage, 'pointerup', from.x, from.y, 0);
  return stamps.slice(1).map((t, i) => t - stamps[i]);
}"""

QUIET = 4_000
"""Milliseconds without a drawing after which the last one was the full picture."""

SETTLED = """(quiet) => new Promise((done) => {
  const start = performance.now();
  const input = document.querySelector('.iw-size input[type=number]');
  const canvas = document.querySelector('.iw-sheet canvas');
  const draw = CanvasRenderingContext2D.prototype.drawImage;
  let first = null, last = null, timer;
  CanvasRenderingContext2D.prototype.drawImage = function (...args) {
    const made = draw.apply(this, args);
    if (this.canvas === canvas) {
      last = performance.now() - start;
      first ??= last;
      clearTimeout(timer);
      timer = setTimeout(() => {
        CanvasRenderingContext2D.prototype.drawImage = draw;
        done([first, last]);
      }, quiet);
    }
    return made;
  };
  input.dispatchEvent(new Event('change'));
})"""


def circuit() -> Any:
    from interp_widgets.results.circuit import CircuitResult
    from interp_widgets.results.graph import Graph

    graph = Graph.build(12, 12)
    scores = np.random.default_rng(0).laplace(0, 1, graph.shape).astype(np.float32)
    return CircuitResult.from_graph(graph.with_scores(scores).top_n(2_000), title="GPT-2 small")


def run() -> Iterator[Row]:
    result = circuit()
    with browser() as chromium, tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            page = Path(folder) / f"{size}.html"
            view = result.view(size=size, connected=False)
            page.write_text(view.to_html())
            view.close()
            context = chromium.new_context(offline=True, viewport={"width": 1000, "height": 800})
            tab = context.new_page()
            tab.goto(page.as_uri())
            tab.wait_for_selector("[data-node]")
            first, last = tab.evaluate(SETTLED, QUIET)
            yield Row(f"circuit {size:,} edges: first drawing", first / 1000, None, "s", "")
            yield Row(f"circuit {size:,} edges: full picture", last / 1000, None, "s", "")
            for kind in ("pan", "zoom", "drag"):
                if kind == "pan":
                    for _ in range(3):
                        tab.click(".iw-zoom button:first-child")
                if kind == "drag":
                    tab.click(".iw-zoom button:last-child")
                tab.wait_for_timeout(200)
                times = np.array(tab.evaluate(MOVE, [kind, FRAMES]))
                label = f"circuit {size:,} edges: {kind}"
                yield Row(f"{label}, frames", 1000 / times.mean(), WANTED, "/s", "budget", "30")
                slow = np.sort(times)[-len(times) // 20 :].mean()
                yield Row(f"{label}, slowest 5 %", float(slow), 1000 / WANTED, "ms", "budget")
            context.close()
