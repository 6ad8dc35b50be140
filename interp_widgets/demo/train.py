"""Train the embedded models: ``python -m interp_widgets.demo.train --out DIR``.

The number of steps and the seed are fixed, so on one machine training repeats exactly.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

from . import tokenizer as tokenizers
from .corpus import Corpus
from .muon import Muon

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel


@dataclass(frozen=True)
class Recipe:
    """What is trained and for how long.

    Attributes
    ----------
    layers, heads, width : int
        Shape of the model.
    mlp : bool
        Whether the MLPs take part; without them their output stays zero.
    steps : int
        Optimiser steps in all.
    alternating, repeats, bindings : int
        Step at which each of the first three phases of the curriculum ends: alternating tokens,
        repeated blocks, and values bound to keys among repeated blocks.
    sentences : bool
        Whether a last phase mixes sentences with repeats.
    position_scale : float
        Size of the sinusoids from which the position table starts.
    uniform_periods : bool
        Whether periods of repeats are uniform; otherwise log-uniform.
    plant : tuple of int
        Head h of layer 0 starts by attending ``plant[h]`` positions back (see `plant_heads`).
    muon_lr, late_muon_lr : float
        Step size of Muon up to and after the step ``bindings``.
    first_lr : float
        Step size of AdamW for the query-key-value matrix of the first layer.
    adam_lr, late_adam_lr : float
        Step size of AdamW for embeddings and vectors up to and after the step ``bindings``: small
        at first, or it undoes the planted heads before others read them.
    tokens : int
        Tokens in a step.
    seed : int
        Seed of weights and data.
    """

    layers: int
    heads: int
    width: int
    mlp: bool
    steps: int
    alternating: int
    repeats: int
    bindings: int
    sentences: bool
    plant: tuple[int, ...]
    uniform_periods: bool = False
    position_scale: float = 0.1
    muon_lr: float = 0.005
    late_muon_lr: float = 0.012
    first_lr: float = 1e-3
    adam_lr: float = 1e-3
    late_adam_lr: float = 2e-3
    tokens: int = 1024
    seed: int = 0


RECIPES: Final = {
    "demo": Recipe(4, 4, 128, True, 5000, 0, 250, 1100, True, (1, 2), seed=1),
    "induction": Recipe(2, 4, 128, False, 1200, 0, 1200, 1200, False, (1,)),
}


def plant_heads(model: Any, back: Sequence[int], scale: float = 3.5) -> None:
    """Let head h of layer 0 start by attending ``back[h]`` positions back.

    The position table holds sinusoids; the query reads them turned back by that much, the key as
    they are, and the token embedding leaves those directions free.  Training then changes the
    heads like any other.
    """
    config = model.config
    width, size = config.n_embd, config.n_embd // config.n_head
    qkv = model.transformer.h[0].attn.c_attn.weight
    with torch.no_grad():
        for head, distance in enumerate(back):
            q, k = head * size, width + head * size
            qkv[:, q : q + size] *= 0.02
            qkv[:, k : k + size] *= 0.02
            for j in range(size // 2):
                sin, cos = 2 * j, width // 2 + 2 * j
                turn = distance / 10000 ** (4 * j / width)
                model.transformer.wte.weight[:, [sin, cos]] = 0.0
                qkv[sin, q + 2 * j] = qkv[cos, q + 2 * j + 1] = scale * math.cos(turn)
                qkv[cos, q + 2 * j] = -scale * math.sin(turn)
                qkv[sin, q + 2 * j + 1] = scale * math.sin(turn)
                qkv[sin, k + 2 * j] = qkv[cos, k + 2 * j + 1] = scale


def new_model(recipe: Recipe, vocabulary: int) -> GPT2LMHeadModel:
    """Make an untrained GPT-2 of the recipe's shape."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(recipe.seed)
    config = GPT2Config(
        vocab_size=vocabulary,
        n_embd=recipe.width,
        n_layer=recipe.layers,
        n_head=recipe.heads,
        n_positions=tokenizers.CONTEXT,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        activation_function="gelu_pytorch_tanh",
        initializer_range=0.04,
        bos_token_id=0,
        eos_token_id=0,
    )
    model: Any = GPT2LMHeadModel(config)
    with torch.no_grad():
        k = torch.arange(recipe.width // 2)[None]
        angle = torch.arange(tokenizers.CONTEXT)[:, None] / 10000 ** (2 * k / recipe.width)
        waves = torch.cat([angle.sin(), angle.cos()], 1)
        model.transformer.wpe.weight.copy_(recipe.position_scale * waves)
        plant_heads(model, recipe.plant)
        if not recipe.mlp:
            for block in model.transformer.h:
                for p in block.mlp.parameters():
                    p.zero_()
                    p.requires_grad = False
    return model


def _loss(
    model: GPT2LMHeadModel, batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    ids, weights, positions = batch
    hidden = model.transformer(input_ids=ids, position_ids=positions).last_hidden_state[:, :-1]
    used = weights[:, 1:] > 0
    loss = torch.nn.functional.cross_entropy(
        model.lm_head(hidden[used]), ids[:, 1:][used], reduction="none"
    )
    weight = weights[:, 1:][used]
    return (loss * weight).sum() / weight.sum()


def _step_loss(model: GPT2LMHeadModel, corpus: Corpus, recipe: Recipe, step: int) -> torch.Tensor:
    n, context = recipe.tokens, tokenizers.CONTEXT
    if step < recipe.alternating:
        return _loss(model, corpus.batch("alternating", n // 32, 32, context))
    late = step > 0.85 * recipe.steps
    length = context if late else 64
    if step < recipe.repeats:
        return _loss(model, corpus.batch("repeats", n // length, length, context))
    if step < recipe.bindings:
        return _loss(model, corpus.batch("bindings", n // length, length, context))
    share = n // 4
    repeats = _loss(model, corpus.batch("mixed", share // length, length, context))
    length = 64 if late else 32
    rows = (n - share) // length
    return 0.2 * repeats + 0.8 * _loss(model, corpus.batch("sentences", rows, length, context))


def train(recipe: Recipe, out: Path, log: int = 100) -> None:
    """Train one model and write its weights, tokenizer and training record.

    Parameters
    ----------
    recipe : Recipe
        What to train.
    out : pathlib.Path
        Folder that receives config.json, model.safetensors, tokenizer.json and training.json.
    log : int
        Steps between two lines of the log, and five times as many between checkpoints.
    """
    import transformers

    tok = tokenizers.build()
    model = new_model(recipe, len(tok))
    corpus = Corpus(tok, recipe.seed, uniform_periods=recipe.uniform_periods)
    trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    first = [p for n, p in trained if n.endswith("h.0.attn.c_attn.weight")]
    matrices = [p for n, p in trained if p.dim() > 1 and ".h." in n and p is not first[0]]
    others = [p for n, p in trained if not (p.dim() > 1 and ".h." in n)]
    adam: dict[str, Any] = {"betas": (0.9, 0.98), "weight_decay": 0.0, "fused": True}
    optimizers = [
        Muon(matrices, lr=recipe.muon_lr),
        torch.optim.AdamW(first, lr=recipe.first_lr, **adam),
        torch.optim.AdamW(others, lr=recipe.adam_lr, **adam),
    ]
    out.mkdir(parents=True, exist_ok=True)
    start, mean = time.process_time(), 0.0

    def save(step: int) -> None:
        half = {k: v.half() for k, v in model.state_dict().items() if k != "lm_head.weight"}
        model.save_pretrained(out, state_dict=half)
        (out / "generation_config.json").unlink(missing_ok=True)
        tok.backend_tokenizer.save(str(out / "tokenizer.json"))
        record = {
            "recipe": asdict(recipe),
            "steps_done": step,
            "tokens": step * recipe.tokens,
            "cpu_seconds": round(time.process_time() - start),
            "versions": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "transformers": transformers.__version__,
            },
        }
        (out / "training.json").write_text(json.dumps(record, indent=1) + "\n")

    model.train()
    for step in range(recipe.steps):
        progress = max(0.0, (step / recipe.steps - 0.4) / 0.6)
        factor = min(1.0, (step + 1) / 50) * (
            0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress))
        )
        early = step < recipe.bindings
        peaks = [
            recipe.muon_lr if early else recipe.late_muon_lr,
            recipe.first_lr,
            recipe.adam_lr if early else recipe.late_adam_lr,
        ]
        for optimizer, peak in zip(optimizers, peaks, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = peak * factor
        loss = _step_loss(model, corpus, recipe, step)
        model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for _, p in trained], 1.0)
        for optimizer in optimizers:
            optimizer.step()
        mean = 0.98 * mean + 0.02 * loss.item() if step else loss.item()
        if (step + 1) % log == 0:
            print(
                f"step {step + 1} cpu {time.process_time() - start:.0f} s loss {mean:.3f}",
                flush=True,
            )
        if (step + 1) % (5 * log) == 0:
            save(step + 1)
    save(recipe.steps)


def main() -> None:
    """Train from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--name", choices=sorted(RECIPES), default="demo")
    parser.add_argument("--log", type=int, default=100)
    args = parser.parse_args()
    torch.set_num_threads(1)
    train(RECIPES[args.name], args.out, args.log)


if __name__ == "__main__":
    main()
