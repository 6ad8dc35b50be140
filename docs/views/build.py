"""Write ../views.md and its pictures: every kind of view on the demo model, light and dark.

``python docs/views/build.py`` needs Chromium and Playwright; ``--text`` writes the page alone.
Each function below is the code that stands beside its pictures.
"""

from __future__ import annotations

import inspect
import io
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import interp_widgets as iw

HERE = Path(__file__).parent
PAGE = HERE.with_name("views.md")
WIDTH = 900
HEAD = """# The views

Every kind of view on the demo model, in the light and in the dark theme.
`python docs/views/build.py` makes the pictures and this page. The code goes after:

```python
{setup}
```

All views have the same menu: the numbers as a table, copy numbers, save the figure, full screen,
copy as code, predict then reveal, unlink, and the keys on `?`. They follow one selection and the
session's interventions.
"""


class Prompts:
    """What the examples start from."""

    def __init__(self) -> None:
        session = iw.demo()
        story = "When Mary and John went to the store, {} gave a drink to"
        clean = session.prompt(story.format("John"), answer=" Mary", foil=" John")
        corrupted = session.prompt(story.format("Mary"), answer=" Mary", foil=" John")
        self.session, self.clean, self.corrupted = session, clean, corrupted


def panel(session: iw.Session, clean: Any, corrupted: Any) -> Any:
    """Session panel: what is done to the model, with strength and undo, and what is queued."""
    session.ablate("z", layer=3, head=0)
    session.scale("mlp_out", 0.5, layer=1)
    return session


def attention(session: iw.Session, clean: Any, corrupted: Any) -> Any:
    """Attention: all heads small, one large; lines, differences, products, any length."""
    return iw.attention(clean).view(layer=3, head=2, sort="induction")


def heatmap(session: iw.Session, clean: Any, corrupted: Any) -> Any:
    """Heatmap: any array; here what patching each position of the residual stream brings back."""
    return iw.patching(clean, corrupted, site="resid_post").view(bars="max")


def lines(session: iw.Session, clean: Any, corrupted: Any) -> Any:
    """Lines: the heatmap's other way to draw a few rows, with the intervals that stand beside."""
    tagger = iw.particle.tagger()
    jets, labels = iw.particle.toy_jets(600, seed=101)
    return iw.particle.decision(tagger, jets, labels).view()


def bars(session: iw.Session, clean: Any, corrupted: Any) -> Any:
    """Bars: the same for names or histograms; the base is dashed while something is ablated."""
    session.ablate("z", layer=1, head=2)
    return iw.next_tokens(clean).view()


def lens(session: iw.Session, clean: Any, corrupted: Any) -> Any:
    """Lens grid: the top token of every layer and position, and pinned tokens on their way."""
    return iw.logit_lens(clean).view()


def tokens(session: iw.Session, clean: Any, corrupted: Any) -> Any:
    """Tokens: signed values on text, for several targets and channels."""
    return iw.attribute(clean).view()


def circuit(session: iw.Session, clean: Any, corrupted: Any) -> Any:
    """Circuit: edges by score, with the faithfulness of every size; a click cuts one."""
    return iw.circuit(clean, corrupted, method="eap-ig").view(size=48)


def attribution_graph(session: iw.Session, clean: Any, corrupted: Any) -> Any:
    """Attribution graph: transcoder features, their influence on the answer, supernodes."""
    transcoders = iw.Transcoders.load(iw.demo.TRANSCODERS)
    return iw.attribution_graph(clean, transcoders).view()


def mediation(session: iw.Session, clean: Any, corrupted: Any) -> Any:
    """Mediation: total, direct and indirect effect through every head, and their interaction."""
    return iw.mediation(clean, corrupted, "heads").view()


def concepts(session: iw.Session, clean: Any, corrupted: Any) -> Any:
    """Concepts: directions with intervals and effect sizes, by layer, in inputs and tokens."""
    women, men = (
        [session.prompt(f"{name} went to the park because") for name in names]
        for names in (("Mary", "Anna", "Emma", "Lucy"), ("John", "Tom", "James", "Paul"))
    )
    return iw.concepts({"woman": women}, men, target=(" she", " he"), runs=5).view()


def scatter(session: iw.Session, clean: Any, corrupted: Any) -> Any:
    """Scatter: two results against each other, a point for each cell, linked with both."""
    attn, mlp = (iw.patching(clean, corrupted, site=s) for s in ("attn_out", "mlp_out"))
    return iw.scatter(attn, mlp).view()


def token_table(session: iw.Session, clean: Any, corrupted: Any) -> Any:
    """Token table: what every neuron reads and writes, with a clamp that tests the reading."""
    session.capture(clean, ["logits"])
    return iw.weights.decode(session).view()


def judgement(session: iw.Session, clean: Any, corrupted: Any) -> Any:
    """Judgement: a circuit against random ones, complete and minimal or not, with p-values."""
    known = iw.circuits.known("demo-ioi")
    pairs = iw.tasks.generate("ioi", 12, session.tokenizer, seed=3)
    ends = [
        [session.prompt(getattr(p, end), answer=p.answer, foil=p.foil) for p in pairs]
        for end in ("clean", "corrupted")
    ]
    return iw.circuits.judge(session, known, *ends).view()


def claims(session: iw.Session, clean: Any, corrupted: Any) -> Any:
    """Claims: what was predicted and sealed before the test, and what became of it."""
    pairs = iw.tasks.generate("ioi", 60, session.tokenizer, seed=2)
    prompts = [session.prompt(p.clean, answer=p.answer, foil=p.foil) for p in pairs]
    seen, sealed = iw.claims.split(prompts, name="IOI")
    prediction = iw.claims.Prediction("logit_difference", "drops", 0.5, on=sealed)
    parts = iw.claims.Parts(["3.0", "3.2"])
    claim = iw.claims.register(session, "3.0 and 3.2 answer", parts, prediction, seen, floor=0.5)
    return claim.test().view()


def modules(session: iw.Session, clean: Any, corrupted: Any) -> Any:
    """Module tree: what the model is made of, and the sites that every method knows."""
    return session.anatomy.result().view()


def methods(session: iw.Session, clean: Any, corrupted: Any) -> Any:
    """Map of methods: what kind of method is wanted, by chips, and the cell that runs it."""
    return iw.catalogue.map().view(causal_nature="interventional", opened="patching")


EXAMPLES: tuple[Callable[..., Any], ...] = (
    *(
        panel,
        attention,
        heatmap,
        lines,
        bars,
        lens,
        tokens,
        circuit,
        attribution_graph,
        mediation,
        concepts,
    ),
    *(scatter, token_table, judgement, claims, modules, methods),
)


def code(example: Callable[..., Any]) -> str:
    """Return the body of an example as a cell of a notebook."""
    body = inspect.getsource(example).split('"""\n', 1)[1]
    return textwrap.dedent(body).replace("return ", "").strip()


def page() -> str:
    """Return what views.md must be."""
    setup = inspect.getsource(Prompts.__init__).split("\n", 1)[1].rsplit("\n", 2)[0]
    parts = [HEAD.format(setup="import interp_widgets as iw\n" + textwrap.dedent(setup).strip())]
    for example in EXAMPLES:
        title, words = str(example.__doc__).split(": ", 1)
        name = example.__name__
        pictures = "\n".join(
            f"![{title}, {theme} theme](views/{name}-{theme}.png)" for theme in ("light", "dark")
        )
        text = words[0].upper() + words[1:]
        parts.append(f"## {title}\n\n{text}\n\n```python\n{code(example)}\n```\n\n{pictures}\n")
    return "\n".join(parts)


def pictures(names: list[str]) -> None:
    """Take the pictures of the examples, or of those that are named."""
    from PIL import Image

    from benchmarks.browser import browser
    from interp_widgets.results.registry import VIEWS
    from interp_widgets.views.page import to_html

    with browser() as chromium:
        for example in EXAMPLES:
            if names and example.__name__ not in names:
                continue
            start = Prompts()
            view = example(start.session, start.clean, start.corrupted)
            if view is start.session:
                view = VIEWS.get("session")(view)
            path = HERE / "page.html"
            to_html([view], path)
            for theme in ("light", "dark"):
                context = chromium.new_context(
                    viewport={"width": WIDTH + 40, "height": 800}, color_scheme=theme, offline=True
                )
                tab = context.new_page()
                tab.goto(path.as_uri())
                tab.locator(".iw-root").first.wait_for()
                tab.wait_for_timeout(1500)
                shot = tab.locator(".iw-root").first.screenshot()
                image = Image.open(io.BytesIO(shot)).convert("RGB")
                few = image.quantize(256, dither=Image.Dither.NONE)
                few.save(HERE / f"{example.__name__}-{theme}.png", optimize=True)
                context.close()
            path.unlink()
            view.close()
            start.session.close()
            sys.stdout.write(f"{example.__name__}\n")


if __name__ == "__main__":
    chosen = sys.argv[1:]
    if chosen != ["--text"]:
        pictures(chosen)
    PAGE.write_text(page(), encoding="utf-8")
