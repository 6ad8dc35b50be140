"""The static twin of every kind of view on the embedded model: drawn and written, in CPU time."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator

import matplotlib as mpl

import interp_widgets as iw
from benchmarks.table import Row, paired

TWO_HEADS = {"heads": [(0, 0), (1, 2)], "contrast": True}
NAMES = ("Mary", "John", "Tom", "Anna", "Paul")


def run() -> Iterator[Row]:
    session = iw.demo()
    clean, corrupted = (
        session.prompt(
            f"When Mary and John went to the store, {name} gave a drink to",
            answer=" Mary",
            foil=" John",
        )
        for name in ("John", "Mary")
    )
    happy, sad = (
        {"happy": session.prompts([f"{name} {words}" for name in NAMES])}
        for words in ("was happy and smiled", "was sad and cried")
    )
    circuit = iw.circuit(clean, corrupted, method="eap-ig")
    results = {
        "attention, all heads": iw.attention(clean),
        "two heads and their difference": (iw.attention(clean), TWO_HEADS),
        "logit lens": iw.logit_lens(clean),
        "tokens": iw.attribute(clean),
        "layer × head patching": iw.patching(clean, corrupted, "z"),
        "layer × position patching": iw.patching(clean, corrupted, "resid_post"),
        "activations, 15 × 128": iw.activations(clean, "resid_post"),
        "circuit": circuit,
        "attribution graph": circuit.to_attribution_graph(),
        "modules": session.anatomy.result(),
        "concepts": iw.concepts(happy, sad),
        "scatter": iw.scatter(
            iw.patching(clean, corrupted, "z"),
            iw.patching(clean, corrupted, "z", direction="noise"),
        ),
    }
    for name, given in results.items():
        result, options = given if isinstance(given, tuple) else (given, {})

        def by_matplotlib(result=result, options=options) -> None:
            figure = result.figure("tmlr", 7.0, **options)
            with mpl.rc_context(figure.style.rc):
                figure.mpl.savefig(io.BytesIO(), format="png", dpi=100)

        ours, reference = paired(
            lambda result=result, options=options: result.figure(**options).png(),
            by_matplotlib,
            clock=time.process_time,
        )
        yield Row(
            f"twin: {name}", ours * 1e3, reference * 1e3, "ms", "savefig of the paper's", "50 ms"
        )
