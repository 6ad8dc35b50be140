"""What every head adds, as a grid: ``iw.contextual_decomposition``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.cdt.discover import every
from interp_widgets.methods.cdt.relevance import (
    means,
    relevance_to_logits,
    relevance_to_targets,
    within_layers,
)
from interp_widgets.methods.cdt.sources import Slot, Source, check
from interp_widgets.methods.circuits.pairs import Pairs
from interp_widgets.methods.circuits.wiring import CircuitError
from interp_widgets.results.array import ArrayResult
from interp_widgets.session.prompts import Prompt, PromptBatch

READ = {"q": "query", "k": "key", "v": "value", "z": "output"}


@method(
    "contextual_decomposition",
    result="array",
    title="Contextual decomposition",
    paper="Hsu et al. 2024, arXiv:2407.00886 (CD-T)",
    family="circuits",
    unit="attention head",
    cost="1 forward pass per prompt, and about 5 for every 64 heads or heads at positions",
    tags="mechanistic, observational, local, hypothesis generation, circuit, head",
)
def contextual_decomposition(
    run: Run,
    clean: Prompt | PromptBatch | Sequence[Prompt],
    corrupted: Prompt | PromptBatch | Sequence[Prompt],
    *,
    target: tuple[int, int] | None = None,
    slot: Literal["q", "k", "v", "z"] = "z",
    relevance: Literal["dot", "l1"] = "dot",
    positions: bool = False,
    normalise: bool = False,
    attention: Literal["relative", "frozen", "difference"] = "relative",
    batch_size: int | None = None,
) -> ArrayResult:
    """Measure what each head's deviation from its mean adds to the logits, or to one head.

    A head's output splits into its mean over the corrupted prompts and what deviates from it. The
    deviation is followed through the network beside everything else, and read off the logits (the
    answer's minus the foil's) or off the query, key, value or output of a later head. This is one
    round of the search that ``iw.circuit(method="cdt-search")`` repeats.

    Parameters
    ----------
    clean
        Prompts with answer and foil.
    corrupted
        As many and as long; the means, position by position, are over these.
    target
        (layer, head) that relevance is read at; None: the logits.
    slot
        What of the target is read: ``"z"`` (default), its output before W_O, or ``"q"``, ``"k"`` or
        ``"v"``.
    relevance
        Of a target head: ``"dot"`` (default), with the target's own deviation from its mean, or
        ``"l1"``, the share of absolute values.
    positions
        Whether a head at each position is a source of its own (prompts of one length).
    normalise
        Whether values are divided by the sum of magnitudes of their layer, as the search does
        before it compares layers.
    attention
        ``"relative"`` (default, as in the authors' code): the relevant part attends by its own
        queries and keys; ``"frozen"``: patterns are those of the whole input; ``"difference"``:
        moving a pattern counts too, see :func:`iw.cdt.decompose`.
    batch_size
        Pairs captured at once; default as many as fit into about 512 MB.

    Returns
    -------
    ArrayResult
        ``[layer, head]``, or ``[position, layer, head]``: means over prompts. In logits; squared
        units of activation for ``"dot"``, shares for ``"l1"``. 0 at layers that the target does not
        read.

    Raises
    ------
    CircuitError
        When prompts do not fit together, there is no such target, or the model is of a form that
        is not known.

    Examples
    --------
    >>> iw.contextual_decomposition(clean, corrupted)
    >>> iw.contextual_decomposition(clean, corrupted, target=(9, 9), slot="q", positions=True)
    """
    pairs = Pairs.of(clean, corrupted, batch_size)
    session = pairs.session
    lengths = sorted({len(batch[0]) for batch, _ in pairs})
    if positions and len(lengths) > 1:
        raise CircuitError(f"positions need prompts of one length, and these have {lengths}")
    sources = every(pairs, positions=positions, mlps=False)
    if target is not None:
        check(session, pairs.first[0], sources, [(*target, slot)])
    reference = means(pairs, (slot,))
    total = np.zeros(len(sources))
    prompts = [prompt for batch, _ in pairs for prompt in batch]
    for i, prompt in enumerate(prompts):

        def within(done: int, of: int, i: int = i) -> None:
            run.progress(i * of + done, len(prompts) * of)

        here = reference[len(prompt)]
        if target is None:
            total += relevance_to_logits(
                session, prompt, sources, reference=here, attention=attention, progress=within
            )
        else:
            total += relevance_to_targets(
                session,
                prompt,
                sources,
                [Source(*target)],
                slot=slot,
                how=relevance,
                reference=here,
                attention=attention,
                progress=within,
            )
    total /= len(prompts)
    if normalise:
        total = within_layers(total, sources)
    shape = (session.anatomy.n_layers, session.anatomy.n_heads)
    grid = total.reshape(*shape, -1)
    values = np.moveaxis(grid, -1, 0) if positions else grid[..., 0]
    meta = _meta(prompts[0], target, slot, relevance, normalise=normalise)
    meta["dims"] = ["position", "layer", "head"] if positions else ["layer", "head"]
    if positions:
        meta["labels"] = {"position": list(prompts[0].tokens)}
    return ArrayResult({"values": np.ascontiguousarray(values, np.float32)}, meta)


def _meta(
    prompt: Prompt, target: tuple[int, int] | None, slot: Slot, relevance: str, *, normalise: bool
) -> dict[str, object]:
    if target is None:
        where, unit = "logits", "logits"
        name = f"{prompt.answer_token!r} over {prompt.foil_token!r}"
    else:
        where = name = f"{READ[slot]} of head {target[0]}.{target[1]}"
        unit = "share of |activation|" if relevance == "l1" else "activation²"
    quantity = f"relevance for the {where} ({unit})"
    if normalise:
        quantity = f"relevance for the {where}, share within the layer"
    return {
        "quantity": quantity,
        "signed": True,
        "title": f"CD-T: what heads add to {name}",
    }
