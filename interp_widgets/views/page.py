"""Views as one file: no kernel, no network, still alive.

The page holds the views' traits, their bundles and the answers to the requests they may make. A
stub of the widget model (js/src/page/page.ts) plays the kernel, so that the same JavaScript runs
as in a notebook; all views of the page share one selection.
"""

from __future__ import annotations

import base64
import html
import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from interp_widgets import __version__
from interp_widgets.results.base import NotLiveError, Result
from interp_widgets.results.live import SELECTION
from interp_widgets.views.base import MODES, STATIC, View
from interp_widgets.views.wire import error_payload, pack

log = logging.getLogger(__name__)

FIGURE_FORMATS = ("pdf", "svg")
FIGURE_BYTES = 150_000
"""Larger files of a figure stay out of an exported page."""

_STYLE = """
:root { color-scheme: light dark; }
body { margin: 0; padding: 16px; color: #1f2328; background: #fff;
  font: 13px/20px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { display: grid; gap: 16px; max-width: 1120px; margin: 0 auto; }
main > * { min-width: 0; }
.iw-page-name { position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden;
  clip-path: inset(50%); white-space: nowrap; }
footer { max-width: 1120px; margin: 16px auto 0; color: #59636e; font-size: 12px; }
@media (prefers-color-scheme: dark) {
  body { color: #e6e8eb; background: #0e1013; } footer { color: #9aa4af; }
}
"""


def to_html(views: Sequence[Any] | Any, path: str | Path | None = None) -> str:
    """Write views or results into one self-contained, interactive page.

    The page opens from disk with no network: zoom, hover, steppers and the selection shared by its
    views work; what needs the model says so. It carries the recipes.

    Parameters
    ----------
    views
        Views or results, or one of them. Results are shown as they first appear; views as they
        stand.
    path
        Where to write the page; None only returns it.

    Returns
    -------
    str
        The page.

    Raises
    ------
    TypeError
        For something that is neither a view nor a result.
    NotLiveError
        For a view that was closed.

    Examples
    --------
    >>> iw.to_html([iw.attention(prompt), iw.logit_lens(prompt)], "mary.html")
    """
    items = list(views) if isinstance(views, list | tuple) else [views]
    if not items:
        raise ValueError("a page needs at least one view or result")
    opened: list[View] = []
    try:
        shown = []
        for item in items:
            if isinstance(item, Result):
                opened.append(item.view())
                shown.append(opened[-1])
            elif isinstance(item, View):
                shown.append(item)
            else:
                raise TypeError(f"a page holds views and results, not {type(item).__name__}")
        page = _page(shown)
    finally:
        for view in opened:
            view.close()
    if path is not None:
        Path(path).write_text(page, encoding="utf-8")
    return page


def _page(views: Sequence[View]) -> str:
    titles = ", ".join(dict.fromkeys(str(view.spec.get("title", "")) for view in views))
    alt = "\n".join(str(view.spec.get("alt", "")) for view in views)
    heading = f'<header><h1 class="iw-page-name">{html.escape(titles)}</h1></header>'
    body = f"{heading}<main></main><noscript><pre>{html.escape(alt)}</pre></noscript>"
    return assemble([exported(view) for view in views], title=titles, body=body)


def exported(view: View) -> dict[str, Any]:
    """Return what a page needs of a view, as JSON: traits, answers, recipe, selection."""
    recipe = view.current.recipe if view.current is not None else None
    data = {
        **_view_data(view),
        "chosen": view.selection_value,
        "recipe": asdict(recipe) if recipe is not None else None,
    }
    plain: dict[str, Any] = json.loads(json.dumps(data, allow_nan=False, default=_bytes))
    return plain


def assemble(views: Sequence[dict[str, Any]], *, title: str, body: str, style: str = _STYLE) -> str:
    """Return a page around exported views.

    Parameters
    ----------
    views
        What :func:`exported` returned, in order.
    title
        Title of the page.
    body
        HTML with one ``<main>``; the i-th view goes into its element ``data-iw-mount="i"``, or to
        the end of it.
    style
        CSS of the page around the views.
    """
    data = {
        "views": [{k: view[k] for k in ("bundle", "traits", "answers")} for view in views],
        "bundles": {view["bundle"]: _source(f"{view['bundle']}.js") for view in views},
        "selection": _selection(views),
        "version": __version__,
    }
    recipes = [view["recipe"] for view in views if view["recipe"]]
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta name="generator" content="interp_widgets {__version__}">',
            f"<title>{html.escape(title)}</title>",
            f"<style>{style}{_inline(_source('style.css'), 'style')}</style></head><body>",
            body,
            f"<footer>interp_widgets {__version__}</footer>",
            f'<script type="application/json" id="iw-recipes">{_json(recipes)}</script>',
            f'<script type="application/json" id="iw-data">{_json(data)}</script>',
            f"<script>{_inline(_source('page.js'), 'script')}</script>",
            "</body></html>",
        ]
    )


def _view_data(view: View) -> dict[str, Any]:
    if view.is_closed:
        raise NotLiveError("a closed view cannot be exported; export its result instead")
    return {
        "bundle": view.bundle,
        "traits": {
            "spec": view.export_spec(),
            "state": dict(view.state),
            "status": {"phase": "static", "message": ""},
            "selection": "anywidget:selection",
            "theme": view.theme,
        },
        "answers": list(_answers(view)),
    }


def _answers(view: View) -> Iterable[dict[str, Any]]:
    known = set()
    tables = [("table", {"mode": mode}) for mode in (MODES if view.changed else MODES[:1])]
    for name, payload in [*view.export_requests(), *tables, ("code", {})]:
        key = json.dumps([name, payload], sort_keys=True)
        if key not in known:
            known.add(key)
            yield _recorded(name, payload, partial(view.answer, name, payload))
    yield from _figures(view)


def _figures(view: View) -> Iterable[dict[str, Any]]:
    """Record the view's figure as files: what "Save figure" has to offer without Python."""
    try:
        files = view.figure_files(FIGURE_FORMATS, limit=FIGURE_BYTES)
    except Exception as error:
        log.debug("no figure of %s", view, exc_info=True)
        yield {"name": "figure_choices", "payload": {}, "error": error_payload(error)}
        return
    choices = {"formats": list(files), "venues": []}
    yield _recorded("figure_choices", {}, partial(dict, choices))
    for kind, file in files.items():
        payload = {"format": kind, "venue": None, "width": "column"}
        yield _recorded("figure", payload, partial(dict, file))


def _recorded(name: str, payload: dict[str, Any], ask: Callable[[], Any]) -> dict[str, Any]:
    try:
        plain, buffers = pack(ask())
    except Exception as error:
        log.debug("an exported page cannot answer %s", name, exc_info=True)
        return {"name": name, "payload": payload, "error": error_payload(error)}
    return {"name": name, "payload": payload, "answer": plain, "buffers": buffers}


def _selection(views: Sequence[dict[str, Any]]) -> dict[str, Any]:
    for view in views:
        value: dict[str, Any] = view["chosen"]
        if any(v is not None for v in value.values()):
            return value
    return dict.fromkeys(SELECTION)


def _source(name: str) -> str:
    path = STATIC / name
    if not path.is_file():
        raise FileNotFoundError(f"{path.name} is missing: run `npm run build` in js/ first")
    return path.read_text(encoding="utf-8")


def _inline(text: str, tag: str) -> str:
    """Return source that cannot end the element it stands in."""
    return text.replace(f"</{tag}", f"<\\/{tag}").replace("<!--", "<\\!--")


def _json(value: Any) -> str:
    """JSON for a script element: no ``<`` in it, bytes as base64."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"), default=_bytes)
    return text.replace("<", "\\u003c")


def _bytes(value: Any) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        return {"$bytes": base64.b64encode(bytes(value)).decode()}
    raise TypeError(f"a page cannot carry {type(value).__name__}")
