"""A live view in headless Chromium without a notebook: this process answers its requests."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interp_widgets.views.base import STATIC, View

STUB = """
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
window.mount = async (traits, buffers) => {
  traits.spec.buffers = buffers.map((b) => new DataView(bytes(b).buffer));
  const heard = new Map();
  const model = {
    get: (key) => traits[key],
    set: (key, value) => {
      traits[key] = value;
      for (const f of heard.get(`change:${key}`) ?? []) f();
    },
    on: (event, f) => heard.set(event, [...(heard.get(event) ?? []), f]),
    off: () => undefined,
    save_changes: () => undefined,
    send: async (message) => {
      const answer = await window.kernel(JSON.stringify(message));
      if (!answer) return;
      const { content, parts } = JSON.parse(answer);
      const views = parts.map((b) => new DataView(bytes(b).buffer));
      for (const f of heard.get("msg:custom") ?? []) f(content, views);
    },
  };
  window.model = model;
  const url = URL.createObjectURL(new Blob([window.source], { type: "text/javascript" }));
  const { default: view } = await import(url);
  const el = document.createElement("div");
  document.body.append(el);
  view.render({ model, el, signal: new AbortController().signal });
};
"""


@dataclass
class Live:
    """One view on a page, with what travelled.

    Attributes
    ----------
    tab
        The page.
    moved
        Bytes of traits and answers so far, the script and the style sheet not counted.
    asked
        Messages of the browser, in order.
    """

    tab: Any
    moved: int = 0
    asked: list[dict[str, Any]] = field(default_factory=list)


def open_live(chromium: Any, view: View, *, width: int = 1200) -> Live:
    """Mount a view on a new page; close ``live.tab.context`` when done."""
    context = chromium.new_context(offline=True, viewport={"width": width, "height": 900})
    tab = context.new_page()
    live = Live(tab)
    sent: list[tuple[Any, list[bytes]]] = []
    view.send = lambda content, buffers=None: sent.append((content, list(buffers or [])))  # type: ignore[method-assign]

    def kernel(text: str) -> str:
        message = json.loads(text)
        live.asked.append(message)
        sent.clear()
        view._receive(view, message, [])  # noqa: SLF001  # what the comm calls
        if message.get("kind") == "request":
            stop = time.monotonic() + 30
            while not sent and time.monotonic() < stop:
                time.sleep(0.002)
        if not sent:
            return ""
        content, buffers = sent[0]
        live.moved += len(json.dumps(content)) + sum(map(len, buffers))
        parts = [base64.b64encode(b).decode() for b in buffers]
        return json.dumps({"content": content, "parts": parts})

    tab.expose_function("kernel", kernel)
    tab.set_content("<body></body>")
    tab.add_style_tag(path=str(STATIC / "style.css"))
    source = (STATIC / f"{view.bundle}.js").read_text()
    tab.evaluate("(text) => { window.source = text; }", source)
    tab.add_script_tag(content=STUB)
    spec = {key: value for key, value in view.spec.items() if key != "buffers"}
    buffers = [bytes(b) for b in view.spec["buffers"]]
    traits = {"spec": spec, "state": view.state, "status": view.status, "theme": "light"}
    live.moved += len(json.dumps(traits)) + sum(map(len, buffers))
    encoded = [base64.b64encode(b).decode() for b in buffers]
    tab.evaluate("([t, b]) => window.mount(t, b)", [traits, encoded])
    return live


def static_bytes(view: View) -> int:
    """Return the bytes of script, style sheet and static picture that travel with a view."""
    files = [STATIC / f"{view.bundle}.js", STATIC / "style.css"]
    return sum(Path(f).stat().st_size for f in files) + len(view.png() or "")
