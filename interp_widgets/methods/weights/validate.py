"""Whether parameters read in vocabulary space say what the model does, beside controls."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.mlp_parts import MlpParts
from interp_widgets.methods.weights.project import WRITES, Parameter, parameter_rows
from interp_widgets.methods.weights.space import Space, some_prompt
from interp_widgets.methods.weights.topk import top_tokens
from interp_widgets.results.array import ArrayResult
from interp_widgets.session.prompts import Prompt
from interp_widgets.session.session import Session
from interp_widgets.session.sites import Site

PAIRS: dict[str, tuple[Parameter, Parameter]] = {
    "keys and values": ("ff_keys", "ff_values"),
    "V and O": ("W_V", "W_O"),
    "Q and K": ("W_Q", "W_K"),
}


@method(
    "validate_projection",
    result="array",
    family="weights",
    unit="layer",
    cost="1 forward pass for each prompt",
    paper="Dar et al. 2022, arXiv:2209.02535",
    tags="mechanistic, observational, global, verification, layer",
)
def validate(
    run: Run,
    prompts: Sequence[Prompt],
    *,
    k: int = 50,
    active: int = 5,
    seed: int = 0,  # noqa: ARG001 - run.generator() draws with it
) -> ArrayResult:
    """Compare the tokens of active neurons with those of the hidden state they wrote to.

    At every layer and token, the top tokens of the most active neurons' value vectors are pooled;
    recall says how many of the hidden state's top tokens are among them. The control takes the
    hidden state of another token, drawn at random.

    Parameters
    ----------
    prompts
        Of one session, read with its interventions; together at least two tokens.
    k
        Top tokens of vectors and states.
    active
        Neurons of each token with the largest activations; a negative activation turns the
        neuron's vector round.
    seed
        Draws the controls.

    Returns
    -------
    ArrayResult
        Recall ``[curve, layer]``: against the layer's own state and against the final one, each
        with its control.

    Raises
    ------
    ValueError
        With fewer than two tokens, or when ``k`` is larger than the vocabulary.

    Examples
    --------
    >>> iw.weights.validate([session.prompt(text) for text in texts])
    """
    session = run.session
    space, count = Space.of(session), session.anatomy.n_layers
    mlps = MlpParts.of(session, some_prompt(session))
    sites = [Site(name, i) for i in range(count) for name in ("mlp_post", "resid_post")]
    kept: dict[Site, list[Tensor]] = {site: [] for site in sites}
    for i, prompt in enumerate(prompts):
        run.progress(i, len(prompts) + count)
        found = session.capture(prompt, sites)
        for site in sites:
            kept[site].append(found[site].float())
    states = [torch.cat(kept[Site("resid_post", i)]) for i in range(count)]
    total = len(states[0])
    if total < 2:
        raise ValueError("the control takes another token: give prompts of two tokens or more")
    shift = torch.randint(1, total, (total,), generator=run.generator())
    other = (torch.arange(total) + shift) % total

    def tops(x: Tensor) -> Tensor:
        rows = space.after_norm(x).to(space.write.device)
        return top_tokens(rows, space.write, k, signs=(1,)).ids[:, 0].cpu()

    final = tops(states[-1])
    values = torch.empty(4, count)
    for i in range(count):
        run.progress(len(prompts) + i, len(prompts) + count)
        acts = torch.cat(kept[Site("mlp_post", i)])
        which = acts.abs().topk(min(active, acts.shape[1]), dim=1).indices
        signs = acts.gather(1, which).sign().cpu()
        units, place = which.cpu().unique(return_inverse=True)
        rows = mlps[i].rows("down")[units.to(mlps[i].rows("down").device)]
        both = top_tokens(rows.float(), space.write, k).ids.cpu()
        pool = both[place, (signs < 0).long()].flatten(1)
        own = tops(states[i])
        for curve, state in enumerate((own, own[other], final, final[other])):
            hits = (state[:, :, None] == pool[:, None, :]).any(2)
            values[curve, i] = hits.float().mean()
    curves = ["layer's state", "random state", "final state", "random final state"]
    return _curves(values, "curve", curves, f"recall of the top {k}", "neurons against states")


@method(
    "paired_weights",
    result="array",
    family="weights",
    unit="layer",
    cost="no forward pass",
    paper="Dar et al. 2022, arXiv:2209.02535",
    tags="mechanistic, observational, global, hypothesis generation, layer",
)
def pairs(run: Run, session: Session, *, k: int = 100, seed: int = 0) -> ArrayResult:  # noqa: ARG001
    """Compare the top tokens of parameters that work together: of a neuron's key and its value.

    Parameters
    ----------
    session
        The model; its interventions do not matter.
    k
        Top tokens of each vector, by magnitude.
    seed
        Draws the shuffled pairs of the control.

    Returns
    -------
    ArrayResult
        Mean Jaccard similarity ``[pair, layer]`` of keys and values, of the sub-heads of V and O
        and of Q and K, each followed by its control, in which partners are shuffled in the layer.

    Examples
    --------
    >>> iw.weights.pairs(session).frame()
    """
    space, count = Space.of(session), session.anatomy.n_layers
    draw = run.generator()
    values = torch.empty(2 * len(PAIRS), count)
    for p, names in enumerate(PAIRS.values()):
        for i in range(count):
            run.progress(p * count + i, len(PAIRS) * count)
            sets = []
            for name in names:
                vectors = parameter_rows(session, name, i)
                sets.append(
                    _by_magnitude(vectors, space.write if name in WRITES else space.read, k)
                )
            shuffled = sets[1][torch.randperm(len(sets[1]), generator=draw)]
            values[2 * p, i] = _jaccard(*sets)
            values[2 * p + 1, i] = _jaccard(sets[0], shuffled)
    rows = [text for pair in PAIRS for text in (pair, f"{pair}, shuffled")]
    return _curves(values, "pair", rows, "Jaccard similarity", f"top {k} tokens of partners")


def _by_magnitude(rows: Tensor, table: Tensor, k: int) -> Tensor:
    k = min(k, len(table))
    top = top_tokens(rows, table, k)
    best = top.logits.flatten(1).topk(k, dim=1).indices
    return top.ids.flatten(1).gather(1, best).cpu()


def _jaccard(a: Tensor, b: Tensor) -> float:
    both = torch.cat([a, b], 1).sort(1).values
    shared = (both[:, 1:] == both[:, :-1]).sum(1).float()
    return float((shared / (both.shape[1] - shared)).mean())


def _curves(values: Tensor, dim: str, names: list[str], quantity: str, title: str) -> ArrayResult:
    layers = [str(i) for i in range(values.shape[1])]
    meta = {
        "dims": [dim, "layer"],
        "labels": {dim: names, "layer": layers},
        "quantity": quantity,
        "title": title,
        "draw": "lines",
        "signed": False,
    }
    return ArrayResult({"values": values}, meta)
