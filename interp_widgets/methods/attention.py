"""Attention patterns, kept as queries and keys and worked out where somebody looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from interp_widgets.methods.activations import check_patterns
from interp_widgets.methods.attention_parts import cross_calls, picture, value_norm
from interp_widgets.methods.catalogue import Run, method
from interp_widgets.results.attention import AttentionResult
from interp_widgets.session.prompts import Prompt
from interp_widgets.session.session import Session
from interp_widgets.session.sites import Site, SiteError


@method(
    "attention",
    result="attention",
    paper="Vaswani et al. 2017, arXiv:1706.03762 §3.2",
    family="attention",
    unit="attention head",
    cost="1 forward pass",
    tags="attributional, observational, local, hypothesis generation, head",
)
def attention(
    run: Run,
    prompt: Prompt,
    *,
    layers: Sequence[int] | None = None,
    against: Prompt | None = None,
    decoder: Prompt | None = None,
) -> AttentionResult:
    """Read who attends to whom.

    What is kept is q and k of every head, as the model's attention function gets them (rotary
    positions applied); a pattern is recomputed from them, one head at a time, so a prompt of tens
    of thousands of tokens opens. With an intervention on ``pattern`` the patterns in use are kept
    instead. The norm of what a head writes for each token, ``‖v W_O‖`` (before an output norm),
    comes along where the output projection is a linear map.

    Parameters
    ----------
    prompt
        What the model reads; for an encoder–decoder what the encoder reads.
    layers
        Layers to keep; default all that have attention.
    against
        A second prompt of the same session, of any length, shown beside the first.
    decoder
        Only for encoder–decoder models: what the decoder reads. The result is then the
        cross-attention, from the decoder's tokens to those of ``prompt``; its heads are ablated
        at the site ``cross_z``.

    Returns
    -------
    AttentionResult
        ``result.pattern(layer=, head=)`` is ``[query, key]``.

    Raises
    ------
    SiteError
        When the model has no attention (with ``decoder``: no cross-attention), or not in one of
        ``layers``; and for an encoder–decoder without ``decoder``.
    ValueError
        When patterns are intervened on and all of them would not fit.

    Examples
    --------
    >>> iw.attention(prompt).pattern(layer=2, head=1)
    >>> iw.attention(english, decoder=german)      # T5, BART: cross-attention
    """
    if layers is not None and not layers:
        raise SiteError("layers is empty; give at least one, or leave it out for all")
    if decoder is not None:
        return _cross(run.session, prompt, decoder, layers, against)
    result = _own(run.session, prompt, layers)
    return result if against is None else _beside(result, _own(run.session, against, layers))


def _own(session: Session, prompt: Prompt, layers: Sequence[int] | None) -> AttentionResult:
    anatomy = session.anatomy
    if anatomy.layers_of("cross_z"):
        raise SiteError(
            "this model is an encoder–decoder: give decoder=session.prompt(…), what its decoder "
            "reads; the result is then the cross-attention"
        )
    if not anatomy.layers_of("pattern"):
        anatomy.expand("pattern")  # raises with the reason
    chosen = list(anatomy.layers_of("pattern") if layers is None else layers)
    facts = [anatomy.attention(layer).to_json() for layer in chosen]
    meta: dict[str, Any] = {"tokens": list(prompt.tokens), "layers": chosen, "facts": facts}
    if prompt.ids:
        meta["ids"] = list(prompt.ids)
    changed = any(item.site == "pattern" for item in session.interventions.active)
    if changed:
        check_patterns(anatomy, prompt, chosen)
    needs = {i: ("pattern",) if changed else anatomy.pattern_needs(i) for i in chosen}
    sites = [Site(name, layer) for layer in chosen for name in (*needs[layer], "v")]
    captured = session.capture(prompt, sites)
    if changed:
        arrays = {"pattern": captured.stack("pattern")}
    else:
        biased = all("bias" in needs[i] for i in chosen)
        arrays = AttentionResult.of(
            [captured[Site("q", i)] for i in chosen],
            [captured[Site("k", i)] for i in chosen],
            facts,
            prompt.tokens,
            bias=[captured[Site("bias", i)] for i in chosen] if biased else None,
        ).arrays
    norms = [value_norm(anatomy, i, captured[Site("v", i)]) for i in chosen]
    return AttentionResult(arrays | _norms(norms) | picture(prompt, meta), meta)


def _norms(norms: list[Any]) -> dict[str, Any]:
    import torch

    whole = all(norm is not None for norm in norms) and len({n.shape for n in norms}) == 1
    return {"value_norm": torch.stack(norms)} if whole else {}


def _beside(result: AttentionResult, other: AttentionResult) -> AttentionResult:
    """Put the second prompt's arrays and meta into the first's result."""
    named = {f"against.{name}": array for name, array in other.arrays.items()}
    return AttentionResult(result.arrays | named, {**result.meta, "against": other.meta})


def _cross(
    session: Session,
    prompt: Prompt,
    decoder: Prompt,
    layers: Sequence[int] | None,
    against: Prompt | None,
) -> AttentionResult:
    chosen, q, k, facts = cross_calls(session, prompt, decoder, layers)
    result = AttentionResult.of(
        q,
        k,
        facts,
        prompt.tokens,
        layers=chosen,
        ids=prompt.ids,
        query_tokens=list(decoder.tokens),
        site="cross_z",
    )
    if against is None:
        return result
    return _beside(result, _cross(session, against, decoder, layers, None))
