"""Train the demonstration model's transcoders: ``python -m interp_widgets.demo.train_transcoders``.

One TopK transcoder for each MLP (Dunefsky et al. 2024, arXiv:2406.11944; TopK and its loss for dead
features after Gao et al. 2024, arXiv:2406.04093), on the sentences and repeats that the model was
trained on.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .corpus import Corpus
from .loader import ASSETS, load
from .tasks import answer_ids, generate


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what is learned."""

    features: int = 384
    k: int = 16
    steps: int = 900
    batch: int = 1024
    rows: int = 1024
    length: int = 64
    rate: float = 3e-3
    dead_after: int = 100
    dead_weight: float = 1 / 16
    seed: int = 0


class TopK(nn.Module):
    """``z = TopK(ReLU(x W_enc + b_enc))``, ``y = z W_dec + b_dec``."""

    def __init__(self, x: Tensor, y: Tensor, recipe: Recipe) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(recipe.seed)
        rows = torch.randn(recipe.features, x.shape[1], generator=generator)
        rows = rows / rows.norm(dim=1, keepdim=True)
        self.W_enc = nn.Parameter(rows.T.clone())
        self.W_dec = nn.Parameter(torch.randn(recipe.features, y.shape[1], generator=generator))
        self.b_enc = nn.Parameter(-(x.mean(0) @ self.W_enc.detach()))
        self.b_dec = nn.Parameter(y.mean(0).clone())
        self.k = recipe.k
        self.unit()

    def before(self, x: Tensor) -> Tensor:
        """Return what features are before the k largest are taken ``[token, feature]``."""
        return torch.relu(x @ self.W_enc + self.b_enc)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output ``[token, d_model]`` and the features ``[token, feature]``."""
        z = self.before(x)
        z = z * (z >= z.topk(self.k, dim=-1).values[..., -1:])
        return z @ self.W_dec + self.b_dec, z

    @torch.no_grad()
    def unit(self) -> None:
        """Give every decoder row length one."""
        self.W_dec.div_(self.W_dec.norm(dim=1, keepdim=True))


def collect(model: Any, corpus: Corpus, recipe: Recipe) -> tuple[list[Tensor], list[Tensor]]:
    """Return what each MLP reads and writes ``[token, d_model]`` on training rows."""
    reads: list[list[Tensor]] = [[] for _ in model.transformer.h]
    writes: list[list[Tensor]] = [[] for _ in model.transformer.h]
    keep = torch.ones(0, dtype=torch.bool)

    def hook(i: int) -> Any:
        def after(_: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            reads[i].append(args[0][keep].clone())
            writes[i].append(output[keep].clone())

        return after

    handles = [b.mlp.register_forward_hook(hook(i)) for i, b in enumerate(model.transformer.h)]
    context = model.config.n_positions
    with torch.no_grad():
        for i in range(recipe.rows // 32):
            kind = "mixed" if i % 8 == 7 else "sentences"
            ids, weights, positions = corpus.batch(kind, 32, recipe.length, context)
            keep = torch.ones_like(ids, dtype=torch.bool)
            if kind == "sentences":  # rows end in padding, which has no weight
                keep = weights.flip(1).cumsum(1).flip(1) > 0
            model(input_ids=ids, position_ids=positions)
    for handle in handles:
        handle.remove()
    return [torch.cat(r) for r in reads], [torch.cat(w) for w in writes]


def fit(x: Tensor, y: Tensor, recipe: Recipe) -> TopK:
    """Train one transcoder; features that stay silent learn from what the others leave over."""
    torch.manual_seed(recipe.seed)
    coder = TopK(x, y, recipe)
    optimiser = torch.optim.Adam(coder.parameters(), lr=recipe.rate, betas=(0.9, 0.999))
    variance = (y - y.mean(0)).pow(2).sum(-1).mean()
    silent = torch.zeros(recipe.features)
    for step in range(recipe.steps):
        share = step / recipe.steps
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate * min(1.0, (step + 1) / 100, (1 - share) / 0.3)
        at = torch.randint(len(x), (recipe.batch,))
        made, z = coder(x[at])
        left = y[at] - made
        loss = left.pow(2).sum(-1).mean() / variance
        dead = silent > recipe.dead_after
        if dead.any():
            own = coder.before(x[at]) * dead
            own = own * (own >= own.topk(min(64, int(dead.sum())), dim=-1).values[..., -1:])
            rest = (left.detach() - own @ coder.W_dec).pow(2).sum(-1).mean()
            loss = loss + recipe.dead_weight * rest / left.detach().pow(2).sum(-1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        coder.unit()
        silent = torch.where((z > 0).any(0), torch.zeros_like(silent), silent + 1)
    return coder


@torch.no_grad()
def measure(model: Any, tokenizer: Any, coders: list[TopK], recipe: Recipe) -> dict[str, Any]:
    """Measure on fresh rows: unexplained variance, live features, and tasks with MLPs replaced."""
    corpus = Corpus(tokenizer, recipe.seed + 1)
    small = Recipe(**{**asdict(recipe), "rows": 128})
    x, y = collect(model, corpus, small)
    found: dict[str, Any] = {"unexplained": [], "dead": []}
    for coder, a, b in zip(coders, x, y, strict=True):
        made, z = coder(a)
        found["unexplained"].append(
            round(float((b - made).pow(2).sum() / (b - b.mean(0)).pow(2).sum()), 4)
        )
        found["dead"].append(int((~(z > 0).any(0)).sum()))
    for task in ("ioi", "gender", "agreement", "capitals", "sentiment"):
        pairs = generate(task, 100, tokenizer, seed=1)
        found[task] = {
            "model": _preferred(model, tokenizer, pairs, None),
            "replaced": _preferred(model, tokenizer, pairs, coders),
            "zeroed": _preferred(model, tokenizer, pairs, []),
        }
    return found


def _preferred(model: Any, tokenizer: Any, pairs: Any, coders: list[TopK] | None) -> float:
    """Return the share of prompts whose answer beats the foil, with every MLP replaced."""
    handles = []
    for i, block in enumerate(model.transformer.h if coders is not None else ()):

        def after(_: nn.Module, args: tuple[Tensor, ...], output: Tensor, i: int = i) -> Tensor:
            return coders[i](args[0])[0] if coders else torch.zeros_like(output)

        handles.append(block.mlp.register_forward_hook(after))
    right = 0
    for pair in pairs:
        ids = torch.tensor([tokenizer(pair.clean)["input_ids"]])
        logits = model(input_ids=ids).logits[0, -1]
        answer, foil = (answer_ids(tokenizer, pair, foil=side)[0] for side in (False, True))
        right += int(logits[answer] > logits[foil])
    for handle in handles:
        handle.remove()
    return round(right / len(pairs), 3)


def main() -> None:
    """Train, measure and write ``transcoders.safetensors`` and ``transcoders.json``."""
    from safetensors.torch import save_file

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ASSETS / "demo")
    for name, value in asdict(Recipe()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    options = vars(parser.parse_args())
    out = options.pop("out")
    recipe = Recipe(**options)
    start = time.perf_counter()
    model, tokenizer = load("demo")
    x, y = collect(model, Corpus(tokenizer, recipe.seed), recipe)
    print(f"{len(x[0]):,} tokens, {time.perf_counter() - start:.0f} s", flush=True)
    coders = []
    for i, (a, b) in enumerate(zip(x, y, strict=True)):
        coders.append(fit(a, b, recipe))
        print(f"layer {i}: {time.perf_counter() - start:.0f} s", flush=True)
    weights = {
        f"{i}.{name}": value.detach().half().contiguous()
        for i, coder in enumerate(coders)
        for name, value in coder.named_parameters()
    }
    for i, coder in enumerate(coders):
        coder.load_state_dict({n: weights[f"{i}.{n}"].float() for n in coder.state_dict()})
    found = measure(model, tokenizer, coders, recipe)
    save_file(weights, out / "transcoders.safetensors", metadata={"k": str(recipe.k)})
    report = {"recipe": asdict(recipe), "tokens": len(x[0]), "measured": found}
    (out / "transcoders.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
