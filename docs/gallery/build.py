"""Build the pictures of docs/gallery.md from the embedded model: ``make gallery``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import interp_widgets as iw
from interp_widgets.figures.figure import Figure

HERE = Path(__file__).parent
CLEAN = "When Mary and John went to the store, John gave a drink to"
CORRUPTED = "When Mary and John went to the store, Mary gave a drink to"
DPI = 200


def figures() -> Iterator[tuple[str, Figure]]:
    """Yield (name, figure) in the order of the page."""
    session = iw.demo()
    clean = session.prompt(CLEAN, answer=" Mary", foil=" John")
    corrupted = session.prompt(CORRUPTED, answer=" Mary", foil=" John")

    heads = iw.patching(clean, corrupted, "z")
    strong = [tuple(int(i) for i in cell) for cell in np.argwhere(heads.numpy("values") > 0.2)]
    yield "heads", heads.figure("icml", outline=[list(cell) for cell in strong])

    sites = ("resid_pre", "attn_out", "mlp_out")
    states = [iw.patching(clean, corrupted, site) for site in sites]
    words = ["residual stream", "attention output", "MLP output"]
    yield "trace", iw.panels([states], venue="icml", share="all", captions=[words])

    yield "lens", iw.logit_lens(clean).figure("neurips")

    attention = iw.attention(clean)
    yield "attention", attention.figure("icml", "text", heads=[(0, 3), (1, 2), (3, 0)])

    circuit = iw.circuit(clean, corrupted, method="eap-ig")
    yield "circuit", circuit.figure("neurips", edges=30)
    classes = {
        "duplicate token": ["0.3"],
        "both names": ["1.0"],
        "second subject": ["2.2", "3.0", "3.1", "3.2"],
    }
    yield "classes", circuit.figure("neurips", groups=classes)

    by_position = iw.circuit(
        clean, corrupted, method="eap-ig", positions=True, size=60, faithfulness=False
    )
    groups = {"duplicate token": ["0.3"], "reads the second name": classes["second subject"]}
    graph = by_position.arrange(groups=groups).to_attribution_graph()
    yield "graph", graph.arrange(pins=graph.names).figure("icml")

    yield "tokens", iw.attribute(clean).figure("acl")
    yield "paradigms", paradigms(session, clean, circuit)


def paradigms(session: iw.Session, clean: Any, circuit: Any) -> Figure:
    """Four kinds of answers to one question."""

    def story(first: str, second: str, giver: str, place: str = "store") -> Any:
        went = f"When {first} and {second} went to the {place}"
        return session.prompt(f"{went}, {giver} gave a drink to")

    names = ["Tom", "Paul", "James", "Anna", "Emma", "Lucy", "Kate"]
    pairs = list(zip(names, names[1:] + names[:1], strict=True))
    examples = {
        f"{who} receives": [story(a, b, n) for n in names for a, b in ((who, n), (n, who))]
        for who in ("Mary", "John")
    }
    examples["in the park"] = [story(a, b, g, "park") for a, b in pairs for g in (a, b)]
    others = [story(a, b, g) for a, b in pairs for g in (a, b)]
    concepts = iw.concepts(
        examples, others, target=(" Mary", " John"), inputs=[clean], layers=[3], runs=10
    )
    return iw.panels(
        [[iw.next_tokens(clean, k=5), iw.attribute(clean)], [concepts, circuit.figure(edges=20)]],
        venue="icml",
        captions=[
            ["behavioural: what it says", "attributional: which words"],
            ["concept-based: which directions", "mechanistic: which parts"],
        ],
    )


def main(chosen: list[str]) -> None:
    """Write each figure as SVG and PNG."""
    for name, figure in figures():
        if chosen and name not in chosen:
            continue
        figure.save(HERE / f"{name}.png", dpi=DPI)
        figure.save(HERE / f"{name}.svg", dpi=DPI)
        sys.stdout.write(f"{name}: {figure.caption}\n  alt: {figure.alt_text}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
