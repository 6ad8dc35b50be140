"""The independent reference: interventions by plain PyTorch hooks and a hand-written attention, no nnsight."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tests.families import build

# site → (module path, "in" | "out" | "in place"); written by hand from the modelling code of each family
PLACES: dict[str, dict[str, tuple[str, str]]] = {
    "gpt2": {
        "embed": ("transformer.wte", "out"),
        "resid_pre": ("transformer.h.{}", "in"),
        "resid_mid": ("transformer.h.{}.ln_2", "in place"),
        "resid_post": ("transformer.h.{}", "out"),
        "z": ("transformer.h.{}.attn.c_proj", "in"),
        "attn_out": ("transformer.h.{}.attn", "out"),
        "mlp_post": ("transformer.h.{}.mlp.act", "out"),
        "mlp_out": ("transformer.h.{}.mlp", "out"),
        "logits": ("lm_head", "out"),
        "attention": ("transformer.h.{}.attn", ""),
    },
    "llama": {
        "embed": ("model.embed_tokens", "out"),
        "resid_pre": ("model.layers.{}", "in"),
        "resid_mid": ("model.layers.{}.post_attention_layernorm", "in place"),
        "resid_post": ("model.layers.{}", "out"),
        "z": ("model.layers.{}.self_attn.o_proj", "in"),
        "attn_out": ("model.layers.{}.self_attn", "out"),
        "mlp_post": ("model.layers.{}.mlp.down_proj", "in"),
        "mlp_out": ("model.layers.{}.mlp", "out"),
        "logits": ("lm_head", "out"),
        "attention": ("model.layers.{}.self_attn", ""),
    },
    "gpt_neox": {
        "embed": ("gpt_neox.embed_in", "out"),
        "resid_pre": ("gpt_neox.layers.{}", "in"),
        "resid_post": ("gpt_neox.layers.{}", "out"),
        "z": ("gpt_neox.layers.{}.attention.dense", "in"),
        "attn_out": ("gpt_neox.layers.{}.attention", "out"),
        "mlp_post": ("gpt_neox.layers.{}.mlp.act", "out"),
        "mlp_out": ("gpt_neox.layers.{}.mlp", "out"),
        "logits": ("embed_out", "out"),
        "attention": ("gpt_neox.layers.{}.attention", ""),
    },
    "gemma2": {
        "embed": ("model.embed_tokens", "out"),
        "resid_pre": ("model.layers.{}", "in"),
        "resid_mid": ("model.layers.{}.pre_feedforward_layernorm", "in place"),
        "resid_post": ("model.layers.{}", "out"),
        "z": ("model.layers.{}.self_attn.o_proj", "in"),
        "attn_out": ("model.layers.{}.post_attention_layernorm", "out"),
        "mlp_post": ("model.layers.{}.mlp.down_proj", "in"),
        "mlp_out": ("model.layers.{}.post_feedforward_layernorm", "out"),
        "attention": ("model.layers.{}.self_attn", ""),
    },
    "bert": {
        "embed": ("bert.embeddings.word_embeddings", "out"),
        "resid_pre": ("bert.encoder.layer.{}", "in"),
        "resid_mid": ("bert.encoder.layer.{}.attention", "out"),
        "resid_post": ("bert.encoder.layer.{}", "out"),
        "z": ("bert.encoder.layer.{}.attention.self", "out"),
        "attn_out": ("bert.encoder.layer.{}.attention.output.dense", "out"),
        "mlp_post": ("bert.encoder.layer.{}.intermediate", "out"),
        "mlp_out": ("bert.encoder.layer.{}.output.dense", "out"),
        "logits": ("cls", "out"),
        "attention": ("bert.encoder.layer.{}.attention.self", ""),
    },
}
HEADS = 4
CALL = ("q", "k", "v", "pattern")

Edit = Callable[[Tensor], Tensor]


class Reference:
    """One family's model, run with hooks.

    An edit takes the tensor of its site with the batch in front, heads split as the site's standard
    dimensions say, and returns the changed tensor.
    """

    def __init__(self, family: str) -> None:
        from transformers import AttentionInterface
        from transformers.masking_utils import AttentionMaskInterface, eager_mask

        self.family = family
        self.places = PLACES[family]
        self.model = build(family)
        self.layer_of = {
            id(self.model.get_submodule(self.places["attention"][0].format(i))): i for i in range(3)
        }
        self.edits: dict[tuple[str, int | None], list[Edit]] = defaultdict(list)
        AttentionInterface.register(f"hooks_{family}", self._attention)
        AttentionMaskInterface.register(f"hooks_{family}", eager_mask)
        self.model.set_attn_implementation(f"hooks_{family}")

    def logits(self, inputs: dict[str, Any], *edits: tuple[str, int | None, Edit]) -> Tensor:
        """Return the logits ``[batch, position, vocabulary]`` with the edits applied."""
        handles = []
        self.edits.clear()
        at_end: list[Edit] = []
        for site, layer, edit in edits:
            if site in CALL:
                self.edits[site, layer].append(edit)
            elif site == "logits":
                at_end.append(edit)
            else:
                handles.append(self._hook(site, layer, edit))
        try:
            with torch.no_grad():
                logits = self.model(**inputs).logits
        finally:
            for handle in handles:
                handle.remove()
        for edit in at_end:
            logits = edit(logits)
        return logits

    def read(self, inputs: dict[str, Any], site: str, layer: int | None) -> Tensor:
        """Return a clean activation, batch in front."""
        found: list[Tensor] = []

        def keep(x: Tensor) -> Tensor:
            found.append(x.clone())
            return x

        self.logits(inputs, (site, layer, keep))
        return found[0]

    def _hook(self, site: str, layer: int | None, edit: Edit) -> Any:
        path, port = self.places[site]
        module = self.model.get_submodule(path.format(layer))

        def change(x: Tensor) -> Tensor:
            if site != "z":
                return edit(x)
            return edit(x.unflatten(-1, (HEADS, -1))).flatten(-2)

        def before(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            name = None if args else next(iter(kwargs))
            old = kwargs[name] if name else args[0]
            new = change(old)
            if port == "in place":
                old.copy_(new)
                return None
            return (args, {**kwargs, name: new}) if name else ((new, *args[1:]), kwargs)

        def after(_module: Any, _args: Any, output: Any) -> Any:
            if isinstance(output, tuple):
                return (change(output[0]), *output[1:])
            return change(output)

        if port == "out":
            return module.register_forward_hook(after)
        return module.register_forward_pre_hook(before, with_kwargs=True)

    def _attention(
        self,
        module: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor | None,
        scaling: float | None = None,
        softcap: float | None = None,
        **_rest: Any,
    ) -> tuple[Tensor, None]:
        layer = self.layer_of[id(module)]
        q, k, v = (self._changed(n, layer, x) for n, x in (("q", q), ("k", k), ("v", v)))
        share = q.shape[1] // k.shape[1]
        k, v = k.repeat_interleave(share, 1), v.repeat_interleave(share, 1)
        scores = torch.einsum("bhqd,bhkd->bhqk", q, k)
        scores = scores * (q.shape[-1] ** -0.5 if scaling is None else scaling)
        if softcap is not None:
            scores = softcap * torch.tanh(scores / softcap)
        if mask is not None:
            scores = scores + mask[..., : k.shape[2]]
        pattern = self._changed("pattern", layer, scores.softmax(-1))
        return torch.einsum("bhqk,bhkd->bqhd", pattern, v).contiguous(), None

    def _changed(self, site: str, layer: int, x: Tensor) -> Tensor:
        for edit in self.edits.get((site, layer), []):
            x = edit(x)
        return x
