"""One view of every kind, on the demo model: what the tests of access look at.

``python -m tests.browser.every_view page.html`` writes the page.
"""

from __future__ import annotations

import sys
from pathlib import Path

import interp_widgets as iw
from interp_widgets.results.methods import MethodMap
from interp_widgets.results.registry import VIEWS
from interp_widgets.views.page import to_html

STORY = "When Mary and John went to the store, {} gave a drink to"
GIRLS, BOYS = ("Mary", "Anna", "Emma", "Lucy"), ("John", "Tom", "James", "Paul")


def results(session) -> dict:
    """A result of each kind; the session's own panel and module tree among them."""
    clean, corrupted = (
        session.prompt(STORY.format(name), answer=" Mary", foil=" John")
        for name in ("John", "Mary")
    )
    went = [[session.prompt(f"{n} went to the park because") for n in s] for s in (GIRLS, BOYS)]
    circuit = iw.circuit(clean, corrupted, method="eap", faithfulness=False)
    attn, mlp = (iw.patching(clean, corrupted, site=s) for s in ("attn_out", "mlp_out"))
    return {
        "session": session,
        "attention": iw.attention(clean),
        "array": iw.activations(clean, "resid_post"),
        "lens": iw.logit_lens(clean),
        "tokens": iw.attribute(clean),
        "circuit": circuit,
        "concepts": iw.concepts({"woman": went[0]}, went[1], target=(" she", " he"), runs=5),
        "modules": session.anatomy.result(),
        "methods": methods(),
        "token_table": iw.weights.decode(session, layers=[0, 1]),
        "attribution_graph": circuit.to_attribution_graph(),
        "scatter": iw.scatter(attn, mlp),
        "claims": claim(session).card(),
        "judgement": iw.circuits.judge(
            session,
            iw.circuits.known("demo-ioi"),
            clean,
            corrupted,
            random_circuits=3,
            random_sets=2,
            greedy=1,
            edges_tested=0,
        ),
        "mediation": iw.mediation(clean, corrupted, "heads"),
    }


def methods():
    """A part of the map: all of it is as large as three other views."""
    whole = iw.catalogue.map()
    some = whole.chosen({"causal_nature": "interventional", "scope": "global"})
    return MethodMap({}, {**whole.meta, "methods": some})


def claim(session):
    """A claim that was not tested yet, so that its controls are there."""
    pairs = iw.tasks.generate("ioi", 24, session.tokenizer, seed=2)
    prompts = [session.prompt(p.clean, answer=p.answer, foil=p.foil) for p in pairs]
    seen, sealed = iw.claims.split(prompts, name="IOI")
    prediction = iw.claims.Prediction("logit_difference", "drops", 0.5, on=sealed)
    parts = iw.claims.Parts(["3.0", "3.2"])
    with session.interventions.set_aside():
        return iw.claims.register(session, "3.0 and 3.2 answer", parts, prediction, seen, floor=0.5)


def open_all(session) -> dict:
    """A view of each kind by name; what they show was computed with one head ablated."""
    session.ablate("z", layer=1, head=2)
    views = {kind: VIEWS.get(kind)(result) for kind, result in results(session).items()}
    missing = set(VIEWS) - set(views)
    assert not missing, f"every_view.py has no example of {', '.join(missing)}"
    return views


def write_page(path: Path) -> dict[str, int]:
    """Write the page; returns the place of each kind on it."""
    session = iw.demo()
    views = open_all(session)
    to_html(list(views.values()), path)
    for view in views.values():
        view.close()
    session.close()
    return {kind: i for i, kind in enumerate(views)}


if __name__ == "__main__":
    print(write_page(Path(sys.argv[1])))
