"""H6: abilities come in steps, together with the circuit that carries them (Olsson et al. 2022)."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.head_scores import repeated_tokens, token_pool
from interp_widgets.methods.hypotheses.finding import finding
from interp_widgets.methods.hypotheses.motifs import SCORES, attention_scores
from interp_widgets.results.array import ArrayResult
from interp_widgets.session.session import Session
from interp_widgets.session.sites import Site

QUANTITIES = ("loss", "loss, first copy", "loss, repeat", *SCORES)


@method(
    "emergence",
    result="array",
    title="Emergence (H6)",
    paper="Olsson et al. 2022, arXiv:2209.11895; Bereska and Gavves 2024, arXiv:2404.14082 §3",
    family="hypotheses",
    unit="checkpoint",
    cost="loading each checkpoint, and 1 forward pass for each length of block",
    tags="mechanistic, developmental, observational, global, hypothesis generation, motif, head",
)
def emergence(
    run: Run,
    session: Session,
    checkpoints: Sequence[str],
    *,
    steps: Sequence[int] | None = None,
    lengths: Sequence[int] = (8, 12, 17),
    batch: int = 8,
    tokens: Sequence[str | int] | None = None,
    draws: int = 200,
    seed: int = 0,
) -> ArrayResult:
    """Follow the loss and the motifs of heads over training.

    Parameters
    ----------
    session
        The model whose checkpoints they are; its own weights stay as they are.
    checkpoints
        Files of weights (safetensors) in the order of training, or folders with one.
    steps
        Their training steps; default 0, 1, 2, …
    lengths, batch
        Random blocks, each repeated once, on which loss and scores are measured; the same for all
        checkpoints.
    tokens
        Tokens to draw from; default the vocabulary.
    draws, seed
        Null: the changes between checkpoints of the induction score in another order.

    Returns
    -------
    ArrayResult
        ``[quantity, checkpoint]``: losses in nats per token, and the score of the best head of
        each kind. ``heads [score, checkpoint, layer, head]``. ``meta["changes"]``: where the
        induction score turns (largest second difference) and rises fastest, and where the loss
        falls fastest. ``meta["findings"]``: how far the rise of the score goes with the fall of
        the loss, and how few checkpoints apart the two are.

    Raises
    ------
    ValueError
        For fewer than five checkpoints, or weights of another model.

    Examples
    --------
    >>> iw.hypotheses.emergence(session, sorted(glob("run/step*.safetensors"))).view()
    """
    if len(checkpoints) < 5:
        raise ValueError(f"{len(checkpoints)} checkpoints are too few to see a step: give five")
    at = list(steps) if steps is not None else list(range(len(checkpoints)))
    if len(at) != len(checkpoints) or sorted(at) != at:
        raise ValueError("steps are as many as checkpoints, ascending")
    pool = token_pool(session, tokens)
    rows, heads = [], []
    for i, path in enumerate(checkpoints):
        run.progress(i, len(checkpoints))
        with _opened(session, path) as then:
            values, scores = _measure(then, pool, lengths, batch, run.generator())
        rows.append(values)
        heads.append(scores)
    table = np.array(rows, np.float32).T
    changes, found = coincidence(table, at, draws, seed)
    return ArrayResult(
        {"values": table, "heads": torch.stack(heads, 1)},
        {
            "dims": ["quantity", "checkpoint"],
            "labels": {"quantity": list(QUANTITIES), "checkpoint": [str(x) for x in at]},
            "quantity": "nats per token, or score of the best head",
            "signed": False,
            "draw": "lines",
            "title": "Emergence",
            "changes": changes,
            "findings": found,
        },
    )


def coincidence(
    values: np.ndarray, steps: Sequence[int], draws: int, seed: int
) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """Return where score and loss change, and the findings (``values [quantity, checkpoint]``)."""
    loss, score = (values[QUANTITIES.index(q)] for q in ("loss, repeat", "induction"))
    rise, fall = np.diff(score), -np.diff(loss)
    turn = int(np.diff(score, 2).argmax()) + 1
    changes = {
        "induction_turns": int(turn),
        "induction_rises": int(rise.argmax()) + 1,
        "loss_falls": int(fall.argmax()) + 1,
    }
    apart = abs(changes["induction_turns"] - changes["loss_falls"])
    rng = np.random.default_rng(seed)
    together, distances = [], []
    for _ in range(draws):
        order = rng.permutation(rise)
        together.append(_correlation(order, fall))
        again = np.concatenate([[score[0]], score[0] + np.cumsum(order)])
        distances.append(-abs(int(np.diff(again, 2).argmax()) + 1 - changes["loss_falls"]))
    null = "changes of the score in another order"
    note = (
        f"the score turns at {steps[changes['induction_turns']]}, the loss of the repeat falls "
        f"fastest before {steps[changes['loss_falls']]}"
    )
    return changes, [
        finding(
            "H6",
            "correlation of the rise of induction with the fall of the loss",
            _correlation(rise, fall),
            together,
            null,
            note=note,
        ),
        finding(
            "H6", "minus checkpoints between the two changes", -apart, distances, null, note=note
        ),
    ]


@contextmanager
def _opened(session: Session, path: str) -> Iterator[Session]:
    """Open a session on a copy of the model with a checkpoint's weights, and close it after."""
    from safetensors.torch import load_file

    file = Path(path)
    file = file / "model.safetensors" if file.is_dir() else file
    if not file.exists():
        raise ValueError(f"there is no checkpoint {path}: give files of weights (safetensors)")
    module: Any = copy.deepcopy(session.anatomy.root)
    missing, extra = module.load_state_dict(load_file(file), strict=False)
    tied = set(getattr(module, "_tied_weights_keys", None) or ())
    missing = [name for name in missing if name not in tied]
    if missing or extra:
        name = (missing or extra)[0]
        raise ValueError(f"{path} holds weights of another model: {name} does not fit")
    then = Session(module, tokenizer=session.tokenizer, name=f"{session.name}, {path}")
    try:
        yield then
    finally:
        then.close()


def _measure(
    session: Session,
    pool: Sequence[int],
    lengths: Sequence[int],
    batch: int,
    generator: torch.Generator,
) -> tuple[list[float], Tensor]:
    losses, scores = [], []
    for length in lengths:
        repeats, start = repeated_tokens(session, pool, batch, length, generator)
        logits = session.capture(repeats, "logits")[Site("logits")].float()
        ids = torch.tensor([p.ids for p in repeats], device=logits.device)
        log_probs = logits[:, :-1].log_softmax(-1)
        loss = -log_probs.gather(-1, ids[:, 1:, None])[..., 0].mean(0).cpu()
        middle = start + length
        losses.append([float(x.mean()) for x in (loss, loss[: middle - 1], loss[middle:])])
        scores.append(attention_scores(session, repeats, start, length)[0])
    mean = torch.stack(scores).mean(0)
    return [*np.mean(losses, axis=0).tolist(), *mean.flatten(1).max(1).values.tolist()], mean


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / scale if scale else 0.0
