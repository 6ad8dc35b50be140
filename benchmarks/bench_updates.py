"""Thirty live views in one notebook, and 3,500 changes of state in a second, in a real JupyterLab.

A Jupyter server drops messages over 1,000 in a second, and with them the last state: what counts
is that the end is right on both sides.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from benchmarks.browser import browser
from benchmarks.table import Row
from tests.browser.lab import Lab, serve, write_notebook

VIEWS = 30
UPDATES = 3500
SETUP = f"""import os, time
import interp_widgets as iw
from IPython.display import display
session = iw.demo()
prompt = session.prompt("When Mary and John went to the store, John gave a drink to",
                        answer=" Mary", foil=" John")
made = []
for i in range({VIEWS}):
    made.append((iw.attention(prompt).view(layer=i % 4, head=i % 3), iw.logit_lens(prompt).view(),
                 iw.activations(prompt, "resid_post").view(layer=i % 4),
                 iw.attribute(prompt).view())[i % 4])
"""
SHOWN = """() => [...document.querySelectorAll('.iw-root')].filter(root => {
  const show = root.querySelector('[role=radiogroup][aria-label=Show]');
  return show && show.checkVisibility(); }).length"""


def open_thirty(page: Any, address: str, name: str) -> Lab:
    """Open the notebook that :func:`write` wrote, with every view drawn."""
    lab = Lab(page, address, name).open()
    lab.run_all()
    page.wait_for_function(
        f"document.querySelectorAll('.iw-root').length === {VIEWS}", timeout=60_000
    )
    page.wait_for_timeout(1000)
    return lab


def write(folder: Path) -> str:
    return write_notebook(folder / "thirty.ipynb", SETUP, "display(*made)").name


def intervene(lab: Lab, limit: float = 60.0) -> dict[str, float]:
    """Ablate a head; seconds until all views compare, megabytes of kernel and page."""
    kernel = psutil.Process(int(lab.kernel("print(os.getpid())")))
    start = time.perf_counter()
    lab.kernel('session.ablate("z", layer=1, head=2)')
    lab.page.wait_for_function(f"({SHOWN})() === {VIEWS}", timeout=limit * 1000)
    seconds = time.perf_counter() - start
    tools = lab.page.context.new_cdp_session(lab.page)
    tools.send("Performance.enable")
    tools.send("HeapProfiler.collectGarbage")
    found = {m["name"]: m["value"] for m in tools.send("Performance.getMetrics")["metrics"]}
    lab.kernel("session.reset()")
    lab.page.wait_for_function(f"({SHOWN})() === 0", timeout=limit * 1000)
    return {
        "seconds": seconds,
        "kernel MB": kernel.memory_info().rss / 1e6,
        "page MB": found["JSHeapUsedSize"] / 1e6,
    }


def from_python(lab: Lab) -> tuple[float, list[Any], list[Any]]:
    """Change the selection and a view's state; seconds, what Python has and what the page shows."""
    printed = lab.kernel(f"""
view, start = made[0], time.perf_counter()
for i in range({UPDATES}):
    view.state = {{**view.state, "layer": i % 4, "head": (i // 4) % 4}}
    if i % 2:
        session.selection.set(token=i % 15)
view.state = {{**view.state, "layer": 2, "head": 1}}
session.selection.set(token=7)
print(time.perf_counter() - start)
""")
    time.sleep(3)
    kernel = json.loads(
        lab.kernel(
            "import json; "
            "print(json.dumps([view.state['layer'], view.state['head'], session.selection.token]))"
        )
    )
    shown = lab.page.evaluate(
        """() => { const root = document.querySelector('.iw-attention');
          const open = root.querySelector('.iw-att-head[aria-selected=true]');
          const name = open.ariaLabel.match(/head (\\d+)\\.(\\d+)/);
          const token = root.querySelector('.iw-strip-token[aria-selected=true]');
          return [Number(name[1]), Number(name[2]), Number(token?.dataset.i ?? -1)]; }"""
    )
    return float(printed.split()[-1]), kernel, shown


def from_browser(lab: Lab) -> tuple[float, str, str]:
    """Open heads by key as fast as can be, 20 seconds at most; the rate, and both ends."""
    rate = lab.page.evaluate(
        f"""async () => {{
          const root = document.querySelector('.iw-attention');
          const press = (key) => root.querySelector('.iw-att-head[tabindex="0"]')
            .dispatchEvent(new KeyboardEvent('keydown', {{key, bubbles: true, cancelable: true}}));
          root.querySelector('.iw-att-head[tabindex="0"]').focus();
          const start = performance.now();
          let done = 0;
          for (let i = 0; i < {UPDATES} && performance.now() - start < 20_000; i++, done++) {{
            press(['ArrowRight', 'ArrowDown', 'ArrowLeft', 'ArrowUp'][i % 4]);
            press('Enter');
            if (i % 70 === 69) await new Promise(requestAnimationFrame);
          }}
          for (const key of ['Home', 'ArrowRight', 'ArrowRight', 'ArrowRight', 'Enter']) press(key);
          return 1000 * done / (performance.now() - start); }}"""
    )
    time.sleep(3)
    head = lab.kernel("print(f\"{made[0].state['layer']}.{made[0].state['head']}\")")
    shown = lab.page.evaluate(
        """() => document.querySelector('.iw-attention .iw-att-head[aria-selected=true]')
             .ariaLabel.match(/head (\\d+\\.\\d+)/)[1]"""
    )
    return rate, head, shown


def run() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name, browser() as chromium:
        file = write(Path(name))
        with serve(Path(name)) as address:
            page = chromium.new_page(viewport={"width": 1300, "height": 1800})
            lab = open_thirty(page, address, file)
            first = intervene(lab)
            second = intervene(lab)
            yield Row("30 views, one ablation: all repaint", second["seconds"], 3, "s", "budget")
            yield Row("30 views: kernel", first["kernel MB"], 1000, "MB", "budget")
            yield Row("30 views: page heap", first["page MB"], 150, "MB", "budget")
            seconds, kernel, shown = from_python(lab)
            right = "the same" if kernel == shown == [2, 1, 7] else f"{kernel} and {shown}"
            yield Row(f"{UPDATES} states from Python: ends are {right}", seconds, 2, "s", "budget")
            rate, head, there = from_browser(lab)
            right = "the same" if head == there else f"{head} and {there}"
            yield Row(f"heads opened by key: ends are {right}", rate, 30, "/s", "key repeat")
