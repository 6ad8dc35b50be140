"""One view of another tool in a process of its own: ``python -m benchmarks.peers NAME T PAGE``.

Prints the bytes that a notebook carries for the view and the seconds Python takes; writes a page.
Each maker returns what the notebook carries, and the page.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import torch

CANVAS_PAINTED = """() => {
  const hosts = [...document.querySelectorAll('treescope-container')].map(e => e.shadowRoot);
  for (const root of [document, ...hosts.filter(Boolean)])
    for (const canvas of [...root.querySelectorAll('canvas')].slice(0, 2)) {
      if (canvas.width < 16) continue;
      const context = canvas.getContext('2d');
      if (!context) continue;
      const side = Math.min(64, canvas.width, canvas.height);
      const left = (canvas.width - side) >> 1, top = (canvas.height - side) >> 1;
      const { data } = context.getImageData(left, top, side, side);
      for (let i = 4; i < data.length; i += 4)
        if (data[i + 3] && (data[i] !== data[0] || data[i + 1] !== data[1])) return true;
    }
  return false; }"""
PAINTED = {
    "circuitsvis": CANVAS_PAINTED,
    "treescope": CANVAS_PAINTED,
    "bertviz": "() => document.querySelectorAll('svg line').length > 100",
    "plotly": """() => [...document.querySelectorAll('.hm image')].some(i =>
      (i.getAttribute('xlink:href') || i.getAttribute('href') || '').length > 100)""",
}
"""When a page shows its first head; plotly draws a heatmap as one image."""

FETCHED = Path(__file__).parent / "results" / "scripts"
SCRIPTS = {
    "require.min.js": ("requirejs@2.3.6", "require.js"),
    "d3.min.js": ("d3@5.7.0", "dist/d3.min.js"),
    "jquery.min.js": ("jquery@2.1.0", "dist/jquery.min.js"),
}
"""What BertViz takes from a network, by npm package and the file in it; 2.0.0 is not on npm."""


def patterns(length: int) -> torch.Tensor:
    """Random causal attention ``[12, 12, length, length]``."""
    scores = torch.randn(12, 12, length, length, generator=torch.Generator().manual_seed(0))
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    return scores.masked_fill(~causal, -torch.inf).softmax(-1)


def circuitsvis(attention: torch.Tensor, tokens: list[str]) -> tuple[str, str]:
    from circuitsvis import attention as views

    view = views.attention_patterns(tokens, attention.flatten(0, 1))
    return view.cdn_src, view.local_src


def bertviz(attention: torch.Tensor, tokens: list[str]) -> tuple[str, str]:
    import bertviz as library

    view = library.head_view([layer[None] for layer in attention], tokens, html_action="return")
    return view.data, view.data


def plotly(attention: torch.Tensor, tokens: list[str]) -> tuple[str, str]:
    del tokens
    import plotly.graph_objects as go
    import plotly.io as pio
    from plotly.subplots import make_subplots

    figure = make_subplots(12, 12)
    for layer in range(12):
        for head in range(12):
            heat = go.Heatmap(z=attention[layer, head].numpy(), showscale=False)
            figure.add_trace(heat, layer + 1, head + 1)
    figure.update_layout(width=1100, height=900)
    return pio.to_json(figure), figure.to_html(include_plotlyjs=True)


def treescope(attention: torch.Tensor, tokens: list[str]) -> tuple[str, str]:
    del tokens
    from treescope import render_array

    html = render_array(attention.numpy(), sliders=(0, 1))._repr_html_()
    return html, html


MAKERS = {
    "circuitsvis": circuitsvis,
    "bertviz": bertviz,
    "plotly": plotly,
    "treescope": treescope,
}


def scripts() -> dict[str, Path]:
    """Fetch what BertViz's page loads from a network, once; nothing where there is no npm."""
    npm = shutil.which("npm")
    for name, (package, inside) in SCRIPTS.items():
        if (FETCHED / name).is_file() or npm is None:
            continue
        FETCHED.mkdir(parents=True, exist_ok=True)
        command = [npm, "pack", "--silent", "--pack-destination", str(FETCHED), package]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            continue
        archive = FETCHED / done.stdout.split()[-1]
        with tarfile.open(archive) as file:
            part = file.extractfile(f"package/{inside}")
            if part is not None:
                (FETCHED / name).write_bytes(part.read())
        archive.unlink()
    return {name: FETCHED / name for name in SCRIPTS if (FETCHED / name).is_file()}


def main(name: str, length: int, page: Path) -> None:
    attention = patterns(length)
    MAKERS[name](attention[:, :, :4, :4], [f" t{i}" for i in range(4)])  # what is loaded by then
    start = time.perf_counter()
    carried, html = MAKERS[name](attention, [f" t{i}" for i in range(length)])
    seconds = time.perf_counter() - start
    page.write_text(html)
    print(json.dumps({"bytes": len(carried.encode()), "python": seconds}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
