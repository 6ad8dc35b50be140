"""The first layers of one model and the last of another, joined through the vocabulary."""

from __future__ import annotations

from collections.abc import Sequence

import nnsight
import torch
from torch import Tensor

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.weights.space import Space, WeightsError
from interp_widgets.results.array import ArrayResult
from interp_widgets.session.prompts import Prompt
from interp_widgets.session.session import Session
from interp_widgets.session.sites import Site


def kernel(source: Tensor, target: Tensor) -> Tensor:
    """Return the map ``[d_source, d_target]`` between two streams that keeps token projections.

    Parameters
    ----------
    source, target
        Token vectors ``[vocabulary, d]`` of the two models, of the same tokens in order.
    """
    if len(source) != len(target):
        raise WeightsError(
            f"the vocabularies have {len(source):,} and {len(target):,} tokens; they have to be "
            "the same"
        )
    source, target = source.double(), target.double()
    gram = torch.linalg.pinv(target.T @ target, hermitian=True)
    return (source.T @ target @ gram).float()


def stitched_logits(
    session: Session, other: Session, prompt: Prompt, keep: int, use_last: int, way: Tensor
) -> Tensor:
    """Return the logits of ``other``'s first and ``session``'s last layers.

    Parameters
    ----------
    keep
        Layers of ``other`` to run; 0 takes its embeddings.
    use_last
        Layers of ``session`` to run after them; 0 leaves its final norm and output head.
    way
        The map from :func:`kernel`.

    Returns
    -------
    Tensor
        ``[position, vocabulary]``.
    """
    last = other.anatomy.n_layers
    site = Site("resid_pre", keep) if keep < last else Site("resid_post", last - 1)
    theirs = other.prompt(list(prompt.ids))
    stream = other.capture(theirs, [site], interventions="none")[site]
    stream = (stream.float() @ way.to(stream.device))[None].to(session.device, session.dtype)
    anatomy, model = session.anatomy, session.model
    count = anatomy.n_layers
    begin = Site("resid_pre", count - use_last) if use_last else Site("resid_post", count - 1)
    place, end = anatomy.locate(begin), anatomy.locate("logits")
    with torch.no_grad(), session.trace(prompt):
        place.read(model)
        place.write(model, stream)
        logits = nnsight.save(end.read(model)[0].float())
    return logits  # noqa: RET504 - nnsight hands out what a trace assigns and saves


@method(
    "stitch_models",
    result="array",
    family="weights",
    unit="layer",
    cost="2 forward passes for each prompt and number of layers",
    paper="Dar et al. 2022, arXiv:2209.02535",
    tags="mechanistic, interventional, global, verification, layer",
)
def stitch(
    run: Run,
    prompts: Sequence[Prompt],
    other: Session,
    *,
    keep: Sequence[int] | None = None,
    use_last: int | None = None,
) -> ArrayResult:
    """Run the first layers of another model, then the last of this one, without any training.

    The stream is carried over by the map that keeps its projection on the tokens.

    Parameters
    ----------
    prompts
        Of the model whose last layers are used; with answers, accuracy is measured too.
    other
        The model whose first layers are used; it has the same vocabulary.
    keep
        Numbers of first layers; default all from 0 to the depth of ``other``.
    use_last
        Number of last layers; None continues where the other stopped, as for two models of the
        same depth.

    Returns
    -------
    ArrayResult
        ``[measure, keep]``: share of prompts with this model's own prediction at the last position,
        and, where the prompts have answers, share with the answer first.

    Raises
    ------
    WeightsError
        When the vocabularies differ.
    ValueError
        When a number of layers is not there.

    Examples
    --------
    >>> iw.weights.stitch(prompts, other=larger, use_last=3)
    """
    session = run.session
    depth, own = other.anatomy.n_layers, session.anatomy.n_layers
    counts = list(range(depth + 1)) if keep is None else list(keep)
    last = [own - n if use_last is None else use_last for n in counts]
    if any(not 0 <= n <= depth for n in counts) or any(not 0 <= n <= own for n in last):
        raise ValueError(
            f"keep={counts}, use_last={use_last}: {other.name} has {depth} layers and "
            f"{session.name} {own}"
        )
    way = kernel(Space.of(other).write.float().cpu(), Space.of(session).write.float().cpu())
    answered = all(p.answer is not None for p in prompts)
    values = torch.zeros(1 + answered, len(counts))
    for i, prompt in enumerate(prompts):
        best = int(session.capture(prompt, ["logits"])[Site("logits")][-1].argmax())
        for j, (n, m) in enumerate(zip(counts, last, strict=True)):
            run.progress(i * len(counts) + j, len(prompts) * len(counts))
            found = int(stitched_logits(session, other, prompt, n, m, way)[-1].argmax())
            values[0, j] += found == best
            if answered:
                values[1, j] += found == prompt.answer
    measures = ["same prediction", "right answer"][: 1 + answered]
    return ArrayResult(
        {"values": values / len(prompts)},
        {
            "dims": ["measure", "keep"],
            "labels": {"measure": measures, "keep": [str(n) for n in counts]},
            "quantity": "share of prompts",
            "title": f"first layers of {other.name}, last of {session.name}",
            "signed": False,
            "draw": "lines",
        },
    )
