"""What each layer would predict: the final norm and unembedding applied to every residual."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.readout import Readout
from interp_widgets.methods.translators import Affine, translate, translators_of
from interp_widgets.results.lens import LensResult
from interp_widgets.session.errors import PromptError
from interp_widgets.session.prompts import Prompt
from interp_widgets.session.session import Session
from interp_widgets.session.sites import Site

CELLS = 2**21  # logits held at a time, a few times over: 8 MB in float32
LOWEST = -1e4  # log-probability of what a model rules out with −∞; its probability is 0 still


@method(
    "logit_lens",
    result="lens",
    paper="nostalgebraist 2020, interpreting GPT: the logit lens; with translators the tuned lens, "
    "Belrose et al. 2023, arXiv:2303.08112",
    family="lens",
    unit="residual stream",
    cost="1 forward pass, and one unembedding per layer",
    tags="mechanistic, observational, local, hypothesis generation, layer",
)
def logit_lens(
    run: Run,
    prompt: Prompt,
    *,
    k: int = 10,
    positions: Sequence[int] | None = None,
    pins: Sequence[object] | None = None,
    translators: str | Sequence[object] | None = None,
) -> LensResult:
    """Read every layer's residual stream as a prediction.

    The model's own final norm, unembedding and logit soft-cap are applied to the residual stream
    before the first block and after each block. The last row is the model's own output. Layers ×
    positions × vocabulary is never held: positions are worked through in chunks.

    Parameters
    ----------
    prompt
        With an answer, its rank and probability in every cell; with a foil too, their logit
        difference.
    k
        How many of the best tokens to keep per cell; 10 fills a hover card.
    positions
        Positions to read; default all. Fewer are cheaper on long prompts.
    pins
        Tokens whose probability is followed through layers and positions, in groups that are added
        up: ``[[" Mary", "Mary"], [" John"]]``. A token is its text or id. Default: the prompt's
        answer and foil.
    translators
        Makes it the tuned lens (arXiv:2303.08112): one affine map per row but the last, which adds
        ``weight @ h + bias`` to the residual h before the readout, as the authors' library stores
        them. A path of a safetensors file with ``<layer>.weight [d_model, d_model]`` and
        ``<layer>.bias [d_model]``, or a list of ``(weight, bias)`` or ``torch.nn.Linear``.

    Returns
    -------
    LensResult
        ``ids``, ``probs``, ``logits`` ``[layer, position, k]``, best first; ``entropy`` and ``kl``
        (KL divergence from the final distribution to the cell's, as in arXiv:2303.08112 §3; nats)
        ``[layer, position]``; with an answer ``answer_rank`` (0 is the best), ``answer_prob``; with
        a foil ``logit_difference``; with pins ``pin_ids [token]`` and ``pin_probs [token, layer,
        position]``. ``layer`` 0 is the embedding, ``i + 1`` the output of block i.

    Raises
    ------
    SiteError
        When the model has no logits per position.
    ValueError
        When ``k`` or a position is out of range, or translators do not fit the model.
    PromptError
        When a pin is not one token.

    Examples
    --------
    >>> lens = iw.logit_lens(session.prompt("The capital of France is", answer=" Paris"))
    >>> lens.top(layer=-1, position=-1)[:3]
    """
    session = run.session
    readout = Readout.of(session, prompt)
    rows = _rows(session)
    values = session.capture(prompt, [*rows, Site("logits")])
    final = values[Site("logits")]
    if not 1 <= k <= final.shape[-1]:
        raise ValueError(f"k={k}: give 1 to {final.shape[-1]:,}, the size of the vocabulary")
    kept = _positions(positions, len(prompt))
    maps = translators_of(translators, len(rows) - 1, values[rows[0]].shape[-1])
    groups = _pins(session, prompt, pins)
    tracked = sorted({i for group in groups for i in group})
    chunk = max(1, CELLS // final.shape[-1])
    parts: list[dict[str, Tensor]] = []
    for start in range(0, len(kept), chunk):
        at = torch.tensor(kept[start : start + chunk], device=final.device)
        own = final[at].float()
        log_final = log_softmax(own)
        cells = []
        for i, row in enumerate(rows):
            run.progress(start * len(rows) + i * len(at), len(kept) * len(rows))
            if i == len(rows) - 1:
                logits = own
            else:
                residual = values[row][at.to(values[row].device)]
                logits = readout(translate(maps, i, residual)).to(own.device)
            cells.append(read_cells(logits, log_final, k, prompt.answer, prompt.foil, tracked))
        parts.append({name: torch.stack([c[name] for c in cells]) for name in cells[0]})
    arrays = {name: torch.cat([part[name] for part in parts], dim=1) for name in parts[0]}
    if tracked:
        arrays["pin_ids"] = torch.tensor(tracked, dtype=torch.int32)
        arrays["pin_probs"] = arrays["pin_probs"].movedim(-1, 0).contiguous()
    meta = _meta(run, prompt, kept, arrays["ids"], groups)
    if maps:
        meta["title"] = "Tuned lens"
    result = LensResult(arrays, meta)
    result.tracker = Tracker(
        session, prompt, readout, maps, tuple(kept), session.interventions.to_json()
    )
    return result


@dataclass(frozen=True)
class Tracker:
    """Reads any token off a lens that was made, at the cost of its row of the unembedding."""

    session: Session
    prompt: Prompt
    readout: Readout
    maps: list[Affine]
    positions: tuple[int, ...]
    interventions: list[dict[str, Any]]

    def ids(self, text: str) -> list[int]:
        """Return the tokens that a text means: as written, and with a space before it."""
        found = []
        for form in (text, f" {text}"):
            try:
                found.append(self.session.token_id(form))
            except PromptError:
                continue
        return list(dict.fromkeys(found))

    def string(self, token: int) -> str:
        """Return a token as a person reads it."""
        return self.session.token_string(token)

    def logits(self, ids: Sequence[int]) -> Tensor:
        """Return logits ``[token, layer, position]``."""
        rows = _rows(self.session)
        sites = [*rows, Site("logits")]
        with torch.no_grad():
            values = self.session.capture(self.prompt, sites, interventions=self.interventions)
            final = values[Site("logits")]
            at = torch.tensor(self.positions, device=final.device)
            found = []
            for i, row in enumerate(rows[:-1]):
                residual = values[row][at.to(values[row].device)]
                found.append(self.readout.tokens(translate(self.maps, i, residual), ids))
            found.append(final[at][:, list(ids)].float())
            return torch.stack([x.to(final.device) for x in found]).movedim(-1, 0)


def read_cells(
    logits: Tensor,
    log_final: Tensor,
    k: int,
    answer: int | None = None,
    foil: int | None = None,
    tracked: Sequence[int] = (),
) -> dict[str, Tensor]:
    """Summarise logits ``[position, vocabulary]`` beside the model's own log-probabilities.

    Returns
    -------
    dict
        ``ids``, ``probs``, ``logits`` ``[position, k]``; ``entropy`` and ``kl`` in nats and
        ``log_normalizer`` (log Σ exp logit) ``[position]``; what answer and foil allow; and
        ``pin_probs [position, token]`` of the tracked tokens.
    """
    log_probs = log_softmax(logits)
    probs = log_probs.exp()
    best, ids = logits.topk(k, dim=-1)
    p_final = log_final.exp()
    cells = {
        "ids": ids.int(),
        "probs": probs.gather(-1, ids),
        "logits": best,
        "entropy": -_dot(probs, log_probs),
        "kl": _dot(p_final, log_final) - _dot(p_final, log_probs),
        "log_normalizer": torch.logsumexp(logits, dim=-1),
    }
    if tracked:
        cells["pin_probs"] = log_probs[:, list(tracked)].exp()
    if answer is not None:
        own = logits[:, answer]
        cells["answer_rank"] = (logits > own[:, None]).sum(-1).int()
        cells["answer_prob"] = log_probs[:, answer].exp()
        if foil is not None:
            cells["logit_difference"] = own - logits[:, foil]
    return cells


def log_softmax(logits: Tensor) -> Tensor:
    """Return finite log-probabilities, so that 0 · log 0 is 0."""
    return torch.log_softmax(logits, dim=-1).clamp_(min=LOWEST)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return torch.einsum("pv,pv->p", a, b)


def _positions(wanted: Sequence[int] | None, length: int) -> list[int]:
    if wanted is None:
        return list(range(length))
    wrong = [i for i in wanted if not -length <= i < length]
    if wrong or not wanted:
        raise ValueError(
            f"positions={list(wanted)}: give at least one of 0 to {length - 1} (or −1 for the last)"
        )
    return [int(i) % length for i in wanted]


def _rows(session: Session) -> list[Site]:
    n_layers = session.anatomy.n_layers
    return [Site("resid_pre", 0), *(Site("resid_post", i) for i in range(n_layers))]


def _pins(session: Session, prompt: Prompt, pins: Sequence[Any] | None) -> list[list[int]]:
    if pins is None:
        return [[i] for i in (prompt.answer, prompt.foil) if i is not None]
    groups = [[p] if isinstance(p, str | int) else list(p) for p in pins]
    return [[session.token_id(token) for token in group] for group in groups if group]


def _meta(
    run: Run, prompt: Prompt, positions: list[int], ids: Tensor, groups: list[list[int]]
) -> dict[str, Any]:
    session = run.session
    shown = {int(i) for i in ids.unique().tolist()}
    shown.update(i for i in (prompt.answer, prompt.foil) if i is not None)
    shown.update(i for group in groups for i in group)
    sites = [str(site) for site in _rows(session)]
    return {
        "tokens": [prompt.tokens[i] for i in positions],
        "positions": positions,
        "layers": ["embed", *map(str, range(len(sites) - 1))],
        "sites": sites,
        "strings": {str(i): session.token_string(i) for i in sorted(shown)},
        "pins": groups,
        "answer": prompt.answer,
        "foil": prompt.foil,
    }
