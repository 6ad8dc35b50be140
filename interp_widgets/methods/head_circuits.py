"""What a head's weights alone do: QK and OV circuits by token, copying, composition of heads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.circuits.wiring import Wiring, matrix, projections_of, wiring_of
from interp_widgets.methods.frozen_norm import FrozenNorm
from interp_widgets.methods.readout import Readout
from interp_widgets.results.array import ArrayResult
from interp_widgets.session.session import Session
from interp_widgets.session.sites import Site, SiteError

if TYPE_CHECKING:
    from interp_widgets.session.prompts import PromptBatch

Embedding = Literal["token", "block0"]
PAPER = "Elhage et al. 2021, A Mathematical Framework for Transformer Circuits"


@method(
    "head_circuit",
    result="array",
    title="Circuit of a head",
    paper=f"{PAPER}; Wang et al. 2022, arXiv:2211.00593 (copying)",
    family="circuits",
    unit="attention head",
    cost="weights only; block 0 once per token",
    tags="mechanistic, observational, global, hypothesis generation, head",
)
def head_circuit(
    run: Run,
    session: Session,
    layer: int,
    head: int,
    tokens: Sequence[str | int],
    circuit: Literal["ov", "qk"] = "ov",
    *,
    embedding: Embedding = "block0",
) -> ArrayResult:
    """Show a head's weights as a matrix of tokens by tokens.

    OV: what attending to a token adds to the logits of the tokens. QK: how much a query at a token
    looks for a key at a token.

    Parameters
    ----------
    session
        Whose model; its interventions do not apply to weights.
    layer, head
        The head; under grouped queries with the keys and values of its group.
    tokens
        Tokens, as text or ids: the rows and columns.
    circuit
        ``"ov"`` or ``"qk"``.
    embedding
        What the head reads for a token: ``"block0"`` the residual stream after block 0 on the token
        alone, as it reaches later layers (Wang et al.); ``"token"`` the token's embedding.

    Returns
    -------
    ArrayResult
        OV: ``[source, output]`` in logits before the final norm's scale, ``meta["copying"]`` the
        share of positive eigenvalues Σλ / Σ|λ| (1: every token raises itself) and
        ``meta["top"]`` the share of sources whose own logit is among the five largest of all these
        tokens. QK: ``[query, key]``, scores before softmax, without rotation and position (query
        and key at the same place).

    Raises
    ------
    SiteError
        When there is no such layer or head, or the logits are not one matrix away.
    CircuitError
        When the residual stream is not a sum of what components write.

    Examples
    --------
    >>> iw.head_circuit(session, 9, 6, [" Mary", " John", " Anna"]).meta["copying"]
    """
    run.progress(0, 1)
    ids = _ids(session, tokens)
    wiring = _wiring(session, ids[:1])
    _check(session, layer, head)
    read = _embeddings(session, ids, layer, embedding)
    labels = [session.token_string(i) for i in ids]
    meta = {"signed": True, "title": f"{circuit.upper()} circuit of head {layer}.{head}"}
    attention = wiring.layers[layer].attention
    parts = projections_of(wiring.root, attention)
    x = wiring.norm(attention.norm, read).double()

    def project(slot: str) -> Tensor:
        weight, bias = parts[slot]
        return x @ weight[head].double() + (0 if bias is None else bias[head].double())

    if circuit == "qk":
        scaling = session.anatomy.attention(layer).scaling or attention.d_head**-0.5
        scores = project("q") @ project("k").T * scaling
        meta |= {"dims": ["query", "key"], "labels": {"query": labels, "key": labels}}
        meta["quantity"] = "attention score before softmax, without positions"
        return ArrayResult({"values": scores.float()}, meta)
    out = matrix(wiring.module(attention.output)).detach().unflatten(0, (attention.heads, -1))
    written = project("v") @ out[head].double()
    values = _say(session, ids, written, wiring, layer)
    own = values.diagonal()[:, None]
    top = float(((values > own).sum(1) < 5).double().mean())
    meta |= {"dims": ["source", "output"], "labels": {"source": labels, "output": labels}}
    meta |= {"copying": copying(values), "top": top}
    meta["quantity"] = "direct effect on the output token, logits before the final norm's scale"
    return ArrayResult({"values": values.float()}, meta)


@method(
    "composition",
    result="array",
    title="Composition of heads",
    paper=PAPER,
    family="circuits",
    unit="pair of heads",
    cost="weights only",
    tags="mechanistic, observational, global, hypothesis generation, head, motif",
)
def composition(
    run: Run,
    session: Session,
    *,
    baseline: bool = True,
    draws: int = 3,
    seed: int = 0,  # noqa: ARG001 - the run has it
) -> ArrayResult:
    """Measure from weights how much of what a head writes another head's q, k and v read.

    ‖W_in W_out‖_F / (‖W_in‖_F ‖W_out‖_F), where W_out is the sender's OV matrix and W_in the
    receiver's QK matrix (transposed for queries) or OV matrix. Gains of the receiver's norm are
    folded in; gains of a norm after attention too.

    Parameters
    ----------
    session
        Whose model.
    baseline
        Whether to subtract what matrices of random numbers of the same shapes give.
    draws, seed
        How many random pairs the baseline averages, and what they are drawn from.

    Returns
    -------
    ArrayResult
        ``[input, receiver, sender]`` for inputs q, k and v, heads named ``layer.head``; NaN and
        masked where the sender is not in an earlier layer. ``meta["random"]`` is the baseline by
        input.

    Examples
    --------
    >>> scores = iw.composition(iw.demo())
    >>> scores.frame().sort_values("value").tail(3)
    """
    wiring = _wiring(session, [0])
    heads = [(i, h) for i, layer in enumerate(wiring.layers) for h in range(layer.attention.heads)]
    factors = list(_factors(wiring))
    values = torch.full((3, len(heads), len(heads)), float("nan"), dtype=torch.float64)
    for r, (layer, _) in enumerate(heads):
        run.progress(r, len(heads))
        for s, (before, _) in enumerate(heads):
            if before < layer:
                values[:, r, s] = torch.stack(_composed(factors[r], factors[s]))
    random = torch.zeros(3, dtype=torch.float64)
    generator = run.generator()
    for _ in range(draws if baseline else 0):
        drawn = [
            tuple(torch.randn(f.shape, generator=generator, dtype=f.dtype) for f in factors[0])
            for _ in range(2)
        ]
        random += torch.stack(_composed(*drawn)).cpu() / draws
    names = [f"{layer}.{head}" for layer, head in heads]
    values = values - random[:, None, None]
    return ArrayResult(
        {"values": values.float(), "mask": values.isnan()},
        {
            "dims": ["input", "receiver", "sender"],
            "labels": {"input": ["q", "k", "v"], "receiver": names, "sender": names},
            "quantity": "composition score" + " above random" * baseline,
            "signed": baseline,
            "title": "Composition of heads",
            "random": dict(zip("qkv", random.tolist(), strict=True)),
        },
    )


Factors = tuple[Tensor, ...]
"""W_Q, W_K, W_V as read ``[d_model, d_head]``, W_V as it is, and W_O ``[d_head, d_model]``."""


def _factors(wiring: Wiring) -> Iterator[Factors]:
    """Yield each head's matrices in float64, with gains folded in."""
    for layer in wiring.layers:
        attention = layer.attention
        parts = projections_of(wiring.root, attention)
        some = next(iter(parts.values()))[0]
        here = torch.linspace(-1, 1, some.shape[1], dtype=some.dtype, device=some.device)
        norm = None if attention.norm is None else wiring.module(attention.norm)
        after = None if attention.output_norm is None else wiring.module(attention.output_norm)
        before, behind = FrozenNorm(norm, here), FrozenNorm(after, here)
        out = matrix(wiring.module(attention.output)).detach().unflatten(0, (attention.heads, -1))
        for h in range(attention.heads):
            read = [_through(before, parts[slot][0][h]) for slot in ("q", "k", "v")]
            yield (*read, behind.linear(out[h]))


def _through(norm: FrozenNorm, weight: Tensor) -> Tensor:
    """Fold a norm into the matrix that reads after it ``[d_model, d_head]``."""
    folded = norm.gain.reshape(-1, 1) * weight.double()
    return folded - folded.mean(0, keepdim=True) if norm.centred else folded


def _composed(receiver: Factors, sender: Factors) -> list[Tensor]:
    """Return Q-, K- and V-composition; norms of products through their small factors."""
    q, k, v, o = receiver
    *_, before, out = sender
    written = _norm(before, out)
    found = []
    for left, right in ((k, q), (q, k), (o.T, v)):
        # the receiver's matrix is left · rightᵀ, of which the right side reads the sender's output
        whole = _norm(left, right.T)
        found.append(_norm(left @ (right.T @ out.T), before.T) / (whole * written))
    return found


def _norm(a: Tensor, b: Tensor) -> Tensor:
    """Return the Frobenius norm of ``a @ b`` without the large product."""
    return ((a.T @ a) * (b @ b.T)).sum().clamp_min(0).sqrt()


def copying(circuit: Tensor) -> float:
    """Return Σλ / Σ|λ| over the eigenvalues of an OV circuit ``[token, token]``, −1 to 1."""
    eigenvalues = torch.linalg.eigvals(circuit.double().cpu())
    return float(eigenvalues.real.sum() / eigenvalues.abs().sum().clamp_min(1e-30))


def copying_scores(session: Session, ids: Sequence[int]) -> Tensor:
    """Return the copying score of every head for tokens, ``[layer, head]``."""
    wiring = _wiring(session, list(ids[:1]))
    rows = []
    for i, layer in enumerate(wiring.layers):
        attention = layer.attention
        weight, bias = projections_of(wiring.root, attention)["v"]
        x = wiring.norm(attention.norm, _embeddings(session, ids, i, "block0")).double()
        out = matrix(wiring.module(attention.output)).detach().unflatten(0, (attention.heads, -1))
        row = []
        for h in range(attention.heads):
            v = x @ weight[h].double() + (0 if bias is None else bias[h].double())
            row.append(copying(_say(session, ids, v @ out[h].double(), wiring, i)))
        rows.append(torch.tensor(row))
    return torch.stack(rows)


def _say(
    session: Session, ids: Sequence[int], written: Tensor, wiring: Wiring, layer: int
) -> Tensor:
    """Return what vectors written to the residual stream add to tokens' logits, ``[row, token]``.

    Each token's mean over the rows stays in; a constant per row cancels in any difference.
    """
    readout = Readout.of(session, session.prompt(list(ids[:1])))
    *before, head = readout.steps
    if not isinstance(head, torch.nn.Linear) or len(before) > 1:
        raise SiteError("the logits are not one norm and one matrix away from the residual stream")
    after = wiring.layers[layer].attention.output_norm
    for path in [wiring.module(after)] if after else []:
        written = _gained(path, written)
    written = _gained(before[0], written) if before else written
    return written @ head.weight.detach()[list(ids)].double().T * readout.scale


def _gained(norm: torch.nn.Module, x: Tensor) -> Tensor:
    """Apply a norm's gain and centring, not its scale."""
    weight = next(norm.parameters())
    here = torch.linspace(-1, 1, x.shape[-1], dtype=weight.dtype, device=weight.device)
    frozen = FrozenNorm(norm, here)
    centred = here.double() - (here.double().mean() if frozen.centred else 0)
    return frozen.linear(x) * centred.pow(2).mean().sqrt()


def _embeddings(session: Session, ids: Sequence[int], layer: int, which: Embedding) -> Tensor:
    """Return what a head of a layer reads for tokens, before its norm ``[token, d_model]``."""
    root = session.anatomy.root
    if which == "token" or layer == 0:
        table: Tensor = root.get_input_embeddings().weight  # type: ignore[operator]
        return table.detach()[list(ids)]
    batch: PromptBatch = session.prompts([session.prompt([i]) for i in ids])
    site = Site("resid_post", 0)
    return session.capture(batch, site, interventions="none")[site][:, 0]


def _ids(session: Session, tokens: Sequence[str | int]) -> list[int]:
    ids = [session.token_id(token) for token in tokens]
    if len(set(ids)) < 2:
        raise ValueError("a circuit by tokens needs at least two different tokens")
    return ids


def _wiring(session: Session, ids: Sequence[int]) -> Wiring:
    return wiring_of(session, session.prompt([*ids, *ids, *ids]))


def _check(session: Session, layer: int, head: int) -> None:
    session.anatomy.locate("z", layer)
    heads = session.anatomy.attention(layer).heads
    if not 0 <= head < heads:
        raise SiteError(f"layer {layer} has heads 0 to {heads - 1}; there is no head {head}")
