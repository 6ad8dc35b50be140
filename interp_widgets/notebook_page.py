"""A whole notebook as one page: no kernel, no network, its views alive and linked."""

from __future__ import annotations

import html
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbconvert.filters import Highlight2HTML, ansi2html, markdown2html
from pygments.formatters import HtmlFormatter

from interp_widgets.views.base import EXPORT_FLAG, EXPORT_MIME
from interp_widgets.views.page import assemble

PLOTLY_MIME = "application/vnd.plotly.v1+json"
_STYLE = """
:root { color-scheme: light; }
body { margin: 0; padding: 24px 16px 48px; color: #1f2328; background: #fff;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 960px; margin: 0 auto; }
main h1 { font-size: 28px; line-height: 1.25; } main h2 { font-size: 21px; margin-top: 40px; }
main p, main li { max-width: 46em; }
main blockquote { margin: 16px 0; padding: 0 16px; border-left: 3px solid #d8dee4; color: #59636e; }
main code { font-size: 0.9em; }
.anchor-link { display: none; }
.source, .text { margin: 12px 0; padding: 8px 12px; border-radius: 6px; overflow-x: auto;
  font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.source { background: #f6f7f9; } .source pre { margin: 0; white-space: pre; }
.text { white-space: pre-wrap; }
.source .highlight { background: none; }
.view { margin: 12px 0; } .picture { max-width: 100%; }
.frame { overflow-x: auto; font-size: 13px; } .frame table { border-collapse: collapse; }
.frame td, .frame th { padding: 3px 8px; border-bottom: 1px solid #d8dee4; text-align: right; }
footer { max-width: 960px; margin: 32px auto 0; color: #59636e; font-size: 12px; }
"""


def run_notebook(source: Path, workdir: Path, timeout: int = 600) -> Any:
    """Execute a notebook with its views exportable.

    Parameters
    ----------
    source
        The notebook; it is not changed.
    workdir
        Where it runs and writes its files.
    timeout
        Seconds for one cell.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        When a cell fails.
    """
    notebook = nbformat.read(source, as_version=4)
    client = NotebookClient(
        notebook, timeout=timeout, resources={"metadata": {"path": str(workdir)}}
    )
    before = os.environ.get(EXPORT_FLAG)
    os.environ[EXPORT_FLAG] = "1"
    try:
        client.execute()
    finally:
        if before is None:
            del os.environ[EXPORT_FLAG]
        else:
            os.environ[EXPORT_FLAG] = before
    return notebook


def write_page(notebook: Any, path: Path) -> Path:
    """Write an executed notebook as one self-contained page and return its path.

    Views are live without a kernel; other outputs are shown as images, tables or text.
    """
    views: list[dict[str, Any]] = []
    parts = [part for cell in notebook.cells for part in _cell(cell, views)]
    title = next(
        (line[2:] for c in notebook.cells for line in c.source.splitlines() if line[:2] == "# "),
        path.stem,
    )
    style = _STYLE + HtmlFormatter(style="friendly").get_style_defs(".highlight")
    body = "<main>" + "\n".join(parts) + "</main>"
    path.write_text(assemble(views, title=title, body=body, style=style), encoding="utf-8")
    return path


def _cell(cell: Any, views: list[dict[str, Any]]) -> Iterator[str]:
    if cell.cell_type == "markdown":
        yield f"<section>{markdown2html(cell.source)}</section>"
    elif cell.cell_type == "code":
        source = Highlight2HTML()(cell.source.rstrip(), "python")
        yield f'<div class="source">{source}</div>'
        for output in cell.outputs:
            yield _output(output, views)


def _output(output: Any, views: list[dict[str, Any]]) -> str:
    if output.output_type == "stream":
        return _text(output.text)
    if output.output_type == "error":
        return _text("\n".join(output.traceback))
    data = output.get("data", {})
    if EXPORT_MIME in data:
        views.append(data[EXPORT_MIME])
        return f'<div class="view" data-iw-mount="{len(views) - 1}"></div>'
    if "image/png" in data:
        alt = html.escape(str(data.get("text/plain", "")), quote=True)
        return f'<img class="picture" alt="{alt}" src="data:image/png;base64,{data["image/png"]}">'
    if "text/html" in data:
        return f'<div class="frame">{data["text/html"]}</div>'
    if PLOTLY_MIME in data:
        return "<p><em>A plotly chart: open the notebook to see it.</em></p>"
    return _text(str(data.get("text/plain", "")))


def _text(text: str) -> str:
    if not text.strip():
        return ""
    return f'<pre class="text">{ansi2html(text.rstrip())}</pre>'
