"""The heatmap of large arrays, live: from asking for the display to painted cells, in Chromium.

Bytes: all that the notebook carries up to the first complete picture: the view's state with its
script, the static picture, and the answers to its requests. Seconds: making the view and its
picture in Python, then loading the page and painting it, with every request answered by the real
Python view. Memory: the largest growth of the process over the array itself.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from benchmarks.table import Row

SHAPES = ((12, 12, 1024, 1024), (32768, 4096))
NAMES = {4: ("layer", "head", "query", "key"), 2: ("position", "d_mlp")}
PAGE = """<!doctype html><meta charset="utf-8"><body><div id="out" style="width:900px"></div>"""
BOOT = """async ({source, traits, buffers}) => {
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  traits.spec.buffers = buffers.map((b) => new DataView(bytes(b).buffer));
  const listeners = {};
  const on = (name, call) => { (listeners[name] ??= new Set()).add(call); };
  let open = 0;
  const model = {
    get: (key) => traits[key],
    set: (key, value) => { traits[key] = value; for (const f of listeners[`change:${key}`] ?? []) f(); },
    save_changes() {}, on, off: (name, call) => listeners[name]?.delete(call),
    send: async (content) => {
      if (content.kind !== 'request') return;
      open++;
      const [message, parts] = JSON.parse(await window.ask(JSON.stringify(content)));
      for (const f of listeners['msg:custom'] ?? [])
        f(message, parts.map((p) => new DataView(bytes(p).buffer)));
      open--;
    },
  };
  const url = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));
  const view = (await import(url)).default;
  view.render({ model, el: document.getElementById('out'), signal: new AbortController().signal });
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  const painted = () => {
    const canvas = document.querySelector('canvas');
    if (!canvas || canvas.width < 100 || open) return false;
    const { data } = canvas.getContext('2d').getImageData(canvas.width / 2 | 0, 60, 60, 60);
    return data.some((v, i) => i > 3 && i % 4 < 3 && v !== data[i % 4]);
  };
  const limit = performance.now() + 30000;
  while (!painted()) { if (performance.now() > limit) throw new Error('nothing painted'); await frame(); }
  await frame();
}"""  # noqa: E501


class Memory:
    """The largest resident memory of this process while it is looked at, in bytes."""

    def __enter__(self) -> Self:
        self.start = self.peak = _resident()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def _look(self) -> None:
        while not self._done.wait(0.005):
            self.peak = max(self.peak, _resident())

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self.grown = max(self.peak, _resident()) - self.start


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def measure(shape: tuple[int, ...]) -> dict[str, float]:
    """Open one array in a page of its own; in this process, which should be new."""
    import base64

    import torch
    from anywidget._util import remove_buffers

    import interp_widgets as iw
    from benchmarks.browser import browser
    from interp_widgets.views.base import STATIC
    from interp_widgets.views.heatmap import HeatmapView
    from interp_widgets.views.wire import pack

    torch.set_num_threads(1)
    iw.show(torch.randn(3, 4)).figure().png()  # what a session has loaded long ago
    values = torch.randn(shape)
    moved = 0
    with browser() as chromium:
        page = chromium.new_page(viewport={"width": 1000, "height": 800})
        page.set_content(PAGE)
        with Memory() as memory:
            begin = time.perf_counter()
            view: Any = HeatmapView(iw.show(values, dims=NAMES[len(shape)]))
            bundle = view._repr_mimebundle_()
            made = time.perf_counter() - begin

            def ask(text: str) -> str:
                nonlocal moved
                content = json.loads(text)
                payload, buffers = pack(view.answer(content["name"], content["payload"]))
                message = {"kind": "response", "id": content["id"], "ok": True, "payload": payload}
                moved += len(json.dumps(message)) + sum(len(b) for b in buffers)
                parts = [base64.b64encode(bytes(b)).decode() for b in buffers]
                return json.dumps([message, parts])

            page.expose_function("ask", ask)
            script = (STATIC / "heatmap.js").read_text()
            traits = {k: getattr(view, k) for k in ("spec", "state", "status", "theme")}
            buffers = [base64.b64encode(bytes(b)).decode() for b in traits["spec"]["buffers"]]
            traits = {**traits, "selection": "", "spec": {**traits["spec"], "buffers": []}}
            page.evaluate(BOOT, {"source": script, "traits": traits, "buffers": buffers})
            painted = time.perf_counter() - begin
    state, _, parts = remove_buffers(view.get_state())
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    size = len(json.dumps(state, default=str)) + sum(len(b) for b in parts)
    size += len(data.get("image/png", "")) + moved
    view.close()
    return {"bytes": size, "made": made, "painted": painted, "memory": memory.grown}


def run() -> Iterator[Row]:
    for shape in SHAPES:
        code = (
            "import json, benchmarks.bench_heatmap_view as b; "
            f"print(json.dumps(b.measure({shape})))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        found = json.loads(done.stdout.splitlines()[-1])
        name = f"heatmap {' × '.join(map(str, shape))}"
        yield Row(f"{name}: MB", found["bytes"] / 1e6, None, "MB", "", "2 MB")
        yield Row(f"{name}: made in Python", found["made"], None, "s", "")
        yield Row(f"{name}: display to painted", found["painted"], None, "s", "", "1 s")
        yield Row(f"{name}: memory beside it", found["memory"] / 2**20, None, "MiB", "")
