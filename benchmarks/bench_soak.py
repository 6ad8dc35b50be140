"""A long lesson: random clicks, keys, edits, selections and re-run cells in a real JupyterLab.

``python -m benchmarks soak --minutes 40``; one minute where nothing is said. Every ten seconds the
kernel's memory and the page's heap, nodes and listeners are read, after a garbage collection in
both. The slope of a straight line through the second half, with its standard error, tells a leak
from noise: a figure grows when the slope is over its budget and over twice its error. All samples
are written to ``benchmarks/results/soak.jsonl``.
"""

from __future__ import annotations

import json
import math
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.browser import browser
from benchmarks.table import Row
from tests.browser.lab import Lab, serve, write_notebook

MINUTES = 1.0
"""Set by ``--minutes``."""
EVERY = 10.0
"""Seconds between two samples."""
SAMPLES = Path(__file__).parent / "results" / "soak.jsonl"

SETUP = """import gc
import interp_widgets as iw
session = iw.demo()
story = "When Mary and John went to the store, {} gave a drink to"
clean, corrupted = (session.prompt(story.format(n), answer=" Mary", foil=" John")
                    for n in ("John", "Mary"))
session"""
VIEWS = (
    "attention = iw.attention(clean).view(); attention",
    "lens = iw.logit_lens(clean).view(); lens",
    "stream = iw.activations(clean, 'resid_post').view(); stream",
    "blame = iw.attribute(clean).view(); blame",
    "circuit = iw.circuit(clean, corrupted, method='eap', faithfulness=False).view(); circuit",
    "modules = session.anatomy.result().view(); modules",
)
NAMES = ("attention", "lens", "stream", "blame", "circuit", "modules")
EDITS = (
    "session.toggle({'kind': 'ablate', 'site': 'z', 'layer': %d, 'head': [%d]})",
    "session.undo()",
    "session.redo()",
    "session.selection.set(layer=%d, head=%d)",
    "session.selection.clear()",
)
KEYS = (
    *("ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "Enter", "Space", "Escape", "Tab"),
    *("Home", "End", "+", "-", "0", "?", "t", "PageDown"),
)
# A place in a view: one of its controls, or any point of it.
AIM = """([view, u, v]) => {
  const root = document.querySelectorAll('.iw-root')[view];
  if (!root) return null;
  const leave = /full screen|save|load|copy|choose|file/i;
  const kinds = 'button, [role=option], [role=gridcell], [role=treeitem], label, select';
  const aims = [...root.querySelectorAll(kinds)]
    .filter(e => e.checkVisibility() && !e.disabled && !e.closest('[disabled]')
      && !leave.test(e.ariaLabel || e.title || e.textContent));
  root.scrollIntoView({block: 'center'});
  const aim = v < 0.3 || !aims.length ? root : aims[Math.floor(u * aims.length)];
  if (aim !== root) aim.scrollIntoView({block: 'nearest'});
  const box = aim.getBoundingClientRect();
  const at = aim === root ? [u, (v / 0.3) % 1] : [0.5, 0.5];
  return [box.x + box.width * at[0], box.y + box.height * at[1]];
}"""
# JupyterLab itself keeps every toolbar that an active cell has had.
QUIET = {"disabledExtensions": {"@jupyterlab/cell-toolbar-extension": True}}
LEFT = """function () { return this.filter(e => {
  try { return !e.isConnected && e.closest('[class*=iw-]'); }
  catch { return false; }  // the prototypes themselves are among them
}).length; }"""


class Reader:
    """Plays in the notebook at random and reads what is held."""

    def __init__(self, page: Any, lab: Lab, seed: int = 0) -> None:
        self.page, self.lab = page, lab
        self.random = random.Random(seed)
        self.actions = self.again = 0
        self.complaints: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: dialog.dismiss())
        self.tools = page.context.new_cdp_session(page)
        self.tools.send("Performance.enable")
        self.kernel = psutil.Process(int(lab.kernel("import os; print(os.getpid())")))

    def act(self) -> None:
        draw = self.random
        kind = draw.choices(
            ("click", "key", "edit", "again", "close", "clear"), (50, 35, 10, 3, 1, 1)
        )[0]
        self.actions += 1
        if kind == "click":
            at = self.page.evaluate(AIM, [draw.randrange(7), draw.random(), draw.random()])
            if at:
                self.page.mouse.move(*at)
                self.page.mouse.click(*at)
        elif kind == "key":
            for _ in range(draw.randrange(1, 5)):
                if self.page.evaluate("!!document.activeElement?.closest('.iw-root')"):
                    self.page.keyboard.press(draw.choice(KEYS))
        elif kind == "edit":
            code = draw.choice(EDITS)
            numbers = (draw.randrange(4), draw.randrange(4))
            self.lab.kernel(code % numbers if "%" in code else code)
        else:
            cell = draw.randrange(len(NAMES))
            self.again += 1
            if kind == "close":
                self.lab.kernel(f"{NAMES[cell]}.close()")
            if kind == "clear":
                self.page.evaluate(
                    "i => window.jupyterapp.shell.currentWidget.content.widgets[i]"
                    ".model.sharedModel.setOutputs([])",
                    cell + 1,
                )
            self.page.evaluate(
                "i => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = i; }",
                cell + 1,
            )
            self.lab.command("notebook:run-cell", wait=False)
        self.page.wait_for_timeout(draw.choice((0, 20, 60, 200)))

    def left(self) -> int:
        """Elements of views that are in no document and still alive."""
        send = self.tools.send
        found = send("Runtime.evaluate", {"expression": "Element.prototype"})["result"]
        every = send("Runtime.queryObjects", {"prototypeObjectId": found["objectId"]})["objects"]
        call = {"functionDeclaration": LEFT, "objectId": every["objectId"], "returnByValue": True}
        count = send("Runtime.callFunctionOn", call)["result"]["value"]
        send("Runtime.releaseObject", {"objectId": every["objectId"]})
        return int(count)

    def sample(self, since: float) -> dict[str, float]:
        self.lab.wait_idle(60_000)
        open_ = int(self.lab.kernel(
            "import ipywidgets; gc.collect(); session.selection.clear(); "
            "print(len(ipywidgets.Widget._instances if hasattr(ipywidgets.Widget, '_instances') "
            "else ipywidgets.widgets.widget._instances))"
        ).split()[-1])  # fmt: skip
        self.page.wait_for_timeout(500)
        self.tools.send("HeapProfiler.collectGarbage")
        found = self.tools.send("Performance.getMetrics")["metrics"]
        metrics = {m["name"]: m["value"] for m in found}
        counters = self.tools.send("Memory.getDOMCounters")
        return {
            "minutes": (time.monotonic() - since) / 60,
            "kernel MB": self.kernel.memory_info().rss / 1e6,
            "page heap MB": metrics["JSHeapUsedSize"] / 1e6,
            "DOM nodes": counters["nodes"],
            "elements of views left behind": self.left(),
            "listeners": counters["jsEventListeners"],
            "widgets": open_,
            "actions": self.actions,
            "cells run again": self.again,
            "errors": len(self.complaints),
        }


def slope(samples: list[dict[str, float]], name: str) -> tuple[float, float]:
    """Growth per hour over the second half, and its standard error."""
    half = samples[len(samples) // 2 :]
    if len(half) < 3:
        return math.nan, math.nan
    hours = np.array([s["minutes"] for s in half]) / 60
    values = np.array([s[name] for s in half], float)
    line = np.polyfit(hours, values, 1)
    rest = values - np.polyval(line, hours)
    spread = math.sqrt(float(rest @ rest) / (len(half) - 2))
    return float(line[0]), spread / math.sqrt(float(((hours - hours.mean()) ** 2).sum()))


BUDGETS = {
    "kernel MB": 200.0,
    "page heap MB": 60.0,
    "elements of views left behind": 20_000.0,
    "listeners": 10_000.0,
}
"""Growth in an hour of restless use that a lesson survives without anybody noticing."""


def run() -> Iterator[Row]:
    samples: list[dict[str, float]] = []
    SAMPLES.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name, browser() as chromium, SAMPLES.open("w") as file:
        write_notebook(Path(name) / "soak.ipynb", SETUP, *VIEWS)
        settings = Path(name) / ".jupyter_config_dir" / "labconfig"
        settings.mkdir(parents=True)
        (settings / "page_config.json").write_text(json.dumps(QUIET))
        with serve(Path(name)) as address:
            page = chromium.new_page(viewport={"width": 1300, "height": 1000})
            lab = Lab(page, address, "soak.ipynb").open()
            lab.run_all()
            page.wait_for_function("document.querySelectorAll('.iw-root').length === 7")
            reader, start = Reader(page, lab), time.monotonic()
            while time.monotonic() - start < MINUTES * 60:
                until = time.monotonic() + EVERY
                while time.monotonic() < until:
                    reader.act()
                samples.append(reader.sample(start))
                file.write(json.dumps(samples[-1]) + "\n")
                file.flush()
            lab.kernel("session.reset()")
    for name, budget in BUDGETS.items():
        growth, error = slope(samples, name)
        leak = growth > budget and growth > 2 * error
        yield Row(
            f"soak {MINUTES:g} min: {name}, {samples[-1][name]:.4g} at the end",
            growth, budget, "/h", f"budget, ± {error:.2g}: {'GROWS' if leak else 'steady'}",
        )  # fmt: skip
    last = samples[-1]
    yield Row(
        f"soak: {last['actions']:.0f} actions, {last['cells run again']:.0f} cells run again",
        last["errors"], 0, "", "errors in the page",
    )  # fmt: skip
    for complaint in sorted(set(reader.complaints))[:5]:
        print("  ", complaint[:200])
