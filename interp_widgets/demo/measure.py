"""Recompute every figure of a model card: ``python -m interp_widgets.demo.measure DIR``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Final

import torch

from . import tasks
from .corpus import FIRST_WORD
from .words import held_out_length

Model = Any
Tokenizer = Any

HELD_OUT_LENGTHS: Final = tuple(n for n in (8, 13, 23, 33, 43, 53) if held_out_length(n))
_CHUNK: Final = 100


@torch.no_grad()
def last_logits(model: Model, tokenizer: Tokenizer, prompts: list[str]) -> torch.Tensor:
    """Return the logits after each prompt, shape [prompts, vocabulary]."""
    rows = []
    for start in range(0, len(prompts), _CHUNK):
        ids = [tokenizer(p)["input_ids"] for p in prompts[start : start + _CHUNK]]
        longest = max(map(len, ids))
        padded = torch.tensor([row + [0] * (longest - len(row)) for row in ids])
        logits = model(input_ids=padded, attention_mask=torch.ones_like(padded)).logits
        rows.append(logits[torch.arange(len(ids)), torch.tensor([len(row) - 1 for row in ids])])
    return torch.cat(rows)


def task_score(
    model: Model, tokenizer: Tokenizer, task: str, n: int = 400, seed: int = 1
) -> dict[str, float]:
    """Score one task on held-out prompts.

    Parameters
    ----------
    model, tokenizer
        Language model and tokenizer of transformers.
    task : str
        One of `tasks.TASKS`.
    n, seed : int
        Number of prompts and seed of their draw.

    Returns
    -------
    dict of str to float
        ``first``: share of prompts whose most likely token is the answer; ``preferred``: share
        with answer above foil; ``difference``: mean logit difference.  For greater-than ``first``
        is the share whose most likely token is a later year, ``preferred`` the share with more
        probability above than at or below the year, ``sharp`` the share that also has more in the
        five years just above than in the five at and just below, and ``difference`` the mean
        difference of probability.
    """
    pairs = tasks.generate(task, n, tokenizer, seed=seed)
    logits = last_logits(model, tokenizer, [p.clean for p in pairs])
    if task == "greater_than":
        return _years_score(tokenizer, pairs, logits)
    right = torch.tensor([tasks.answer_ids(tokenizer, p)[0] for p in pairs])
    wrong = torch.tensor([tasks.answer_ids(tokenizer, p, foil=True)[0] for p in pairs])
    rows = torch.arange(len(pairs))
    difference = logits[rows, right] - logits[rows, wrong]
    return {
        "first": (logits.argmax(-1) == right).float().mean().item(),
        "preferred": (difference > 0).float().mean().item(),
        "difference": difference.mean().item(),
    }


def _years_score(
    tokenizer: Tokenizer, pairs: list[tasks.Pair], logits: torch.Tensor
) -> dict[str, float]:
    probabilities = logits.softmax(-1)
    first, preferred, sharp, total = [], [], [], []
    for row, pair in zip(probabilities, pairs, strict=True):
        above = tasks.answer_ids(tokenizer, pair)
        below = tasks.answer_ids(tokenizer, pair, foil=True)
        difference = (row[above].sum() - row[below].sum()).item()
        total.append(difference)
        preferred.append(difference > 0)
        sharp.append(difference > 0 and (row[above[:5]].sum() > row[below[-5:]].sum()).item())
        first.append(row.argmax().item() in above)
    count = len(pairs)
    return {
        "first": sum(first) / count,
        "preferred": sum(preferred) / count,
        "sharp": sum(sharp) / count,
        "difference": sum(total) / count,
    }


def repeated_ids(vocabulary: int, length: int, rows: int, seed: int) -> torch.Tensor:
    """Return a start token and a random block said twice, shape [rows, 1 + 2 length]."""
    generator = torch.Generator().manual_seed(seed)
    block = torch.randint(FIRST_WORD, vocabulary, (rows, length), generator=generator)
    return torch.cat([torch.zeros(rows, 1, dtype=torch.long), block, block], 1)


@torch.no_grad()
def induction_report(model: Model, rows: int = 32, seed: int = 1) -> dict[str, Any]:
    """Measure copying and the heads behind it on repeats of lengths never trained on.

    Parameters
    ----------
    model
        GPT-2 of transformers with eager attention.
    rows, seed : int
        Blocks per length and seed of their draw.

    Returns
    -------
    dict
        ``accuracy`` by length and their mean; ``induction`` and ``previous`` [layer][head]: mean
        attention from a token of the second block to the token after its first occurrence, and
        mean attention of every token to the one before it (arXiv:2209.11895).
    """
    accuracy, induction, previous = {}, [], []
    for length in HELD_OUT_LENGTHS:
        ids = repeated_ids(model.config.vocab_size, length, rows, seed + length)
        out = model(input_ids=ids, attention_mask=torch.ones_like(ids), output_attentions=True)
        guess = out.logits[:, length + 1 : 2 * length].argmax(-1)
        accuracy[str(length)] = (guess == ids[:, length + 2 :]).float().mean().item()
        query = torch.arange(length + 1, 2 * length + 1)
        later = torch.arange(1, 2 * length + 1)
        patterns = torch.stack(out.attentions)
        induction.append(patterns[..., query, query - length + 1].mean((1, 3)))
        previous.append(patterns[..., later, later - 1].mean((1, 3)))
    return {
        "accuracy": accuracy,
        "mean_accuracy": sum(accuracy.values()) / len(accuracy),
        "induction": torch.stack(induction).mean(0).tolist(),
        "previous": torch.stack(previous).mean(0).tolist(),
    }


@torch.no_grad()
def ioi_report(model: Model, tokenizer: Tokenizer, n: int = 200, seed: int = 2) -> dict[str, Any]:
    """Say which heads do indirect object identification and where they look.

    Parameters
    ----------
    model, tokenizer
        GPT-2 with eager attention and its tokenizer.
    n, seed : int
        Number of held-out prompts and seed of their draw.

    Returns
    -------
    dict
        For every head [layer][head]: ``direct``, the direct effect on logit(IO) - logit(S) at the
        end with the final norm's scale held fixed; ``to_IO``, ``to_S1``, ``to_S2``, its attention
        from the end; ``S2_to_S1`` and ``S2_to_IO``, its attention from S2; ``patched``, the change
        of the logit difference when its output at every position is exchanged for that of the abc
        prompt.  ``difference`` is the mean logit difference.
    """
    layers, heads = model.config.n_layer, model.config.n_head
    size = model.config.n_embd // heads
    result = {
        key: torch.zeros(layers, heads)
        for key in ("direct", "to_IO", "to_S1", "to_S2", "S2_to_S1", "S2_to_IO", "patched")
    }
    pairs = tasks.generate("ioi", n, tokenizer, seed=seed)
    total = 0.0
    groups: dict[int, list[tasks.Pair]] = {}
    for pair in pairs:
        groups.setdefault(pair.positions["end"], []).append(pair)
    for group in groups.values():
        clean, corrupted = (
            torch.tensor([tokenizer(text)["input_ids"] for text in texts])
            for texts in ([p.clean for p in group], [p.corrupted for p in group])
        )
        io = torch.tensor([tasks.answer_ids(tokenizer, p)[0] for p in group])
        s = torch.tensor([tasks.answer_ids(tokenizer, p, foil=True)[0] for p in group])
        at = {k: torch.tensor([p.positions[k] for p in group]) for k in ("IO", "S1", "S2")}
        rows = torch.arange(len(group))

        def difference(
            ids: torch.Tensor,
            rows: torch.Tensor = rows,
            io: torch.Tensor = io,
            s: torch.Tensor = s,
        ) -> torch.Tensor:
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[:, -1]
            return logits[rows, io] - logits[rows, s]

        base, store, patterns = _run(model, clean)
        _, other, _ = _run(model, corrupted)
        whole = base[rows, -1, io] - base[rows, -1, s]
        total += whole.sum().item()
        norm = model.transformer.ln_f
        residual = store["residual"][:, -1]
        scale = (residual.var(-1, unbiased=False) + norm.eps).sqrt()
        direction = (model.lm_head.weight[io] - model.lm_head.weight[s]) * norm.weight
        direction = direction - direction.mean(-1, keepdim=True)
        for layer, block in enumerate(model.transformer.h):
            z = store[str(layer)].unflatten(-1, (heads, size))
            weight = block.attn.c_proj.weight.view(heads, size, -1)
            written = torch.einsum("bhk,hkd->bhd", z[:, -1], weight)
            direct = (written * direction[:, None]).sum(-1) / scale[:, None]
            result["direct"][layer] += direct.sum(0)
            for key in ("IO", "S1", "S2"):
                result["to_" + key][layer] += patterns[layer][rows, :, -1, at[key]].sum(0)
            for key in ("S1", "IO"):
                looked = patterns[layer][rows, :, at["S2"], at[key]]
                result["S2_to_" + key][layer] += looked.sum(0)
            for head in range(heads):
                part = slice(head * size, (head + 1) * size)

                def exchange(
                    _: Any, args: Any, part: slice = part, new: torch.Tensor = other[str(layer)]
                ) -> tuple[Any]:
                    mixed = args[0].clone()
                    mixed[..., part] = new[..., part]
                    return (mixed,)

                hook = block.attn.c_proj.register_forward_pre_hook(exchange)
                result["patched"][layer, head] += (difference(clean) - whole).sum()
                hook.remove()
    report: dict[str, Any] = {key: (value / n).tolist() for key, value in result.items()}
    report["difference"] = total / n
    return report


def _run(
    model: Model, ids: torch.Tensor
) -> tuple[torch.Tensor, dict[str, torch.Tensor], tuple[torch.Tensor, ...]]:
    """Return logits, head outputs by layer with the last residual, and attention patterns."""
    store: dict[str, torch.Tensor] = {}

    def keep(name: str) -> Any:
        return lambda _, args: store.__setitem__(name, args[0])

    hooks = [
        block.attn.c_proj.register_forward_pre_hook(keep(str(i)))
        for i, block in enumerate(model.transformer.h)
    ]
    hooks.append(model.transformer.ln_f.register_forward_pre_hook(keep("residual")))
    out = model(input_ids=ids, attention_mask=torch.ones_like(ids), output_attentions=True)
    for hook in hooks:
        hook.remove()
    return out.logits, store, out.attentions


def measure(model: Model, tokenizer: Tokenizer, *, sentences: bool = True) -> dict[str, Any]:
    """Recompute all figures of a card.

    Parameters
    ----------
    model, tokenizer
        Model with eager attention and its tokenizer.
    sentences : bool
        Whether the model was trained on sentences, so that tasks are scored.

    Returns
    -------
    dict
        ``parameters``, ``induction`` and, with sentences, ``tasks`` and ``ioi``.
    """
    figures: dict[str, Any] = {
        "parameters": model.num_parameters(),
        "induction": induction_report(model),
    }
    if sentences:
        figures["tasks"] = {t: task_score(model, tokenizer, t) for t in tasks.TASKS}
        figures["ioi"] = ioi_report(model, tokenizer)
    return figures


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_rounded(v) for v in value]
    return round(value, 4) if isinstance(value, float) else value


def main() -> None:
    """Write metrics.json and the model card of a folder of weights."""
    from .card import card
    from .loader import load_folder

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    torch.set_num_threads(1)
    model, tokenizer = load_folder(folder)
    training = json.loads((folder / "training.json").read_text())
    sentences = training["recipe"]["sentences"]
    figures = _rounded(measure(model, tokenizer, sentences=sentences))
    figures["training"] = training
    (folder / "metrics.json").write_text(json.dumps(figures, indent=1) + "\n")
    text = card(folder.name, figures)
    (folder / "README.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
