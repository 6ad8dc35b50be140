"""Attention patterns, kept as queries and keys and worked out where somebody looks."""

from __future__ import annotations

from collections.abc import Sequence

from interp_widgets.methods.activations import check_patterns
from interp_widgets.methods.catalogue import Run, method
from interp_widgets.results.attention import AttentionResult
from interp_widgets.session.prompts import Prompt
from interp_widgets.session.sites import Site, SiteError


@method(
    "attention",
    result="attention",
    paper="Vaswani et al. 2017, arXiv:1706.03762 §3.2",
    family="attention",
    unit="attention head",
    cost="1 forward pass",
)
def attention(run: Run, prompt: Prompt, *, layers: Sequence[int] | None = None) -> AttentionResult:
    """Read who attends to whom.

    What is kept is q and k of every head, as the model's attention function gets them (rotary
    positions applied); a pattern is recomputed from them, one head at a time, so a prompt of tens
    of thousands of tokens opens. With an intervention on ``pattern`` the patterns in use are kept
    instead.

    Parameters
    ----------
    prompt
        What the model reads.
    layers
        Layers to keep; default all that have attention.

    Returns
    -------
    AttentionResult
        ``result.pattern(layer=, head=)`` is ``[query, key]``.

    Raises
    ------
    SiteError
        When the model has no attention, or not in one of ``layers``.
    ValueError
        When patterns are intervened on and all of them would not fit.

    Examples
    --------
    >>> iw.attention(prompt).pattern(layer=2, head=1)
    """
    session, anatomy = run.session, run.session.anatomy
    if not anatomy.layers_of("pattern"):
        anatomy.expand("pattern")  # raises with the reason
    chosen = list(anatomy.layers_of("pattern") if layers is None else layers)
    if not chosen:
        raise SiteError("layers is empty; give at least one, or leave it out for all")
    facts = [anatomy.attention(layer).to_json() for layer in chosen]
    if any(item.site == "pattern" for item in session.interventions.active):
        check_patterns(anatomy, prompt, chosen)
        captured = session.capture(prompt, [Site("pattern", i) for i in chosen])
        meta = {"tokens": list(prompt.tokens), "layers": chosen, "facts": facts}
        if prompt.ids:
            meta["ids"] = list(prompt.ids)
        return AttentionResult({"pattern": captured.stack("pattern")}, meta)
    needs = {layer: anatomy.pattern_needs(layer) for layer in chosen}
    captured = session.capture(
        prompt, [Site(name, layer) for layer in chosen for name in needs[layer]]
    )
    biased = all("bias" in needs[layer] for layer in chosen)
    return AttentionResult.of(
        [captured[Site("q", i)] for i in chosen],
        [captured[Site("k", i)] for i in chosen],
        facts,
        prompt.tokens,
        layers=chosen,
        ids=prompt.ids or None,
        bias=[captured[Site("bias", i)] for i in chosen] if biased else None,
    )
