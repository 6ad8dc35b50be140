"""Activations read with plain PyTorch hooks at paths written by hand from each family's source: the other opinion."""

from __future__ import annotations

import warnings

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from tests import families


def _llama_like(
    attn_out: str = "self_attn.o_proj", mlp_out: str = "mlp.down_proj", **other
) -> dict:
    return {
        "block": "model.layers",
        "z": ("self_attn.o_proj", "in"),
        "attn_out": (attn_out, "out"),
        "resid_mid": ("post_attention_layernorm", "in"),
        "mlp_post": ("mlp.down_proj", "in"),
        "mlp_out": (mlp_out, "out"),
        "embed": "model.embed_tokens",
        **other,
    }


def _bert_like(base: str) -> dict:
    return {
        "block": f"{base}encoder.layer",
        "z": ("attention.output.dense", "in"),
        "attn_out": ("attention.output.dense", "out"),
        "resid_mid": ("attention", "out"),
        "mlp_post": ("intermediate", "out"),
        "mlp_out": ("output.dense", "out"),
        "embed": f"{base}embeddings.word_embeddings",
    }


def _clip_like(embed: str) -> dict:
    return {
        "block": "encoder.layers",
        "z": ("self_attn.out_proj", "in"),
        "attn_out": ("self_attn", "out"),
        "resid_mid": ("layer_norm2", "in"),
        "mlp_post": ("mlp.fc2", "in"),
        "mlp_out": ("mlp", "out"),
        "embed": embed,
    }


_NEOX = {
    "block": "gpt_neox.layers",
    "z": ("attention.dense", "in"),
    "attn_out": ("attention", "out"),
    "mlp_post": ("mlp.act", "out"),
    "mlp_out": ("mlp", "out"),
    "embed": "gpt_neox.embed_in",
}
_SANDWICH = _llama_like(
    "post_attention_layernorm",
    "post_feedforward_layernorm",
    resid_mid=("pre_feedforward_layernorm", "in"),
)
_EXPERTS = {k: v for k, v in _llama_like(mlp_out="mlp").items() if k != "mlp_post"}

PATHS = {
    "gpt2": {
        "block": "transformer.h",
        "z": ("attn.c_proj", "in"),
        "attn_out": ("attn", "out"),
        "resid_mid": ("ln_2", "in"),
        "mlp_post": ("mlp.act", "out"),
        "mlp_out": ("mlp", "out"),
        "embed": "transformer.wte",
    },
    "gpt_neox": _NEOX,
    "gpt_neox_sequential": {**_NEOX, "resid_mid": ("post_attention_layernorm", "in")},
    "llama": _llama_like(),
    "qwen2": _llama_like(),
    "qwen3": _llama_like(),
    "gemma2": _SANDWICH,
    "gemma3": _SANDWICH,
    "olmo2": _llama_like(
        "post_attention_layernorm", "post_feedforward_layernorm", resid_mid=("mlp", "in")
    ),
    "mistral": _llama_like(),
    "mixtral": _EXPERTS,
    "phi3": _llama_like(),
    "gpt_oss": _EXPERTS,
    "bert": _bert_like("bert."),
    "roberta": _bert_like(""),
    "modernbert": {
        "block": "model.layers",
        "z": ("attn.Wo", "in"),
        "attn_out": ("attn", "out"),
        "resid_mid": ("mlp_norm", "in"),
        "mlp_post": ("mlp.drop", "out"),
        "mlp_out": ("mlp", "out"),
        "embed": "model.embeddings.tok_embeddings",
    },
    "t5_encoder": {
        "block": "encoder.block",
        "z": ("layer.0.SelfAttention.o", "in"),
        "attn_out": ("layer.0.SelfAttention", "out"),
        "resid_mid": ("layer.1.layer_norm", "in"),
        "mlp_post": ("layer.1.DenseReluDense.wo", "in"),
        "mlp_out": ("layer.1.DenseReluDense", "out"),
        "embed": "encoder.embed_tokens",
    },
    "clip_text": _clip_like("embeddings.token_embedding"),
    "clip_vision": _clip_like("embeddings"),
    "vit": {
        "block": "vit.layers",
        "z": ("attention.o_proj", "in"),
        "attn_out": ("attention", "out"),
        "resid_mid": ("layernorm_after", "in"),
        "mlp_post": ("mlp.fc2", "in"),
        "mlp_out": ("mlp", "out"),
        "embed": "vit.embeddings.patch_embeddings",
    },
    "mamba": {"block": "backbone.layers", "embed": "backbone.embeddings"},
}


def read(name: str, model, inputs: dict) -> dict[tuple[str, int | None], torch.Tensor]:
    """Run a model with hooks and return every site's tensor, batch first, heads not split in `z`."""
    paths, found, handles = PATHS[name], {}, []
    last_calls: list[tuple] = []

    def spy(module, q, k, v, *rest, **kwargs):
        last_calls.append((q, k, v))
        return original(module, q, k, v, *rest, **kwargs)

    def keep(key, path, port):
        module = model.get_submodule(path)

        def before(_, args, kwargs):
            found[key] = (args[0] if args else next(iter(kwargs.values()))).clone()

        def after(_, args, output):
            found[key] = (
                output[0]
                if isinstance(output, tuple)
                else getattr(output, "last_hidden_state", output)
            ).clone()

        handles.append(
            module.register_forward_pre_hook(before, with_kwargs=True)
            if port == "in"
            else module.register_forward_hook(after)
        )

    for layer in range(families.LAYERS):
        block = f"{paths['block']}.{layer}"
        keep(("resid_pre", layer), block, "in")
        keep(("resid_post", layer), block, "out")
        for site in ("z", "attn_out", "resid_mid", "mlp_post", "mlp_out"):
            if site in paths:
                keep((site, layer), f"{block}.{paths[site][0]}", paths[site][1])
    keep(("embed", None), paths["embed"], "out")
    original, kernel = sdpa_attention_forward, None
    config = getattr(model, "config", None)
    if name in families.WITH_ATTENTION and config._attn_implementation == "sdpa":
        kernel = config._attn_implementation
        AttentionInterface.register("sdpa", spy)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            output = model(**inputs)
    finally:
        for handle in handles:
            handle.remove()
        if kernel:
            AttentionInterface.register("sdpa", sdpa_attention_forward)
    if hasattr(output, "logits"):
        found["logits", None] = output.logits
    for layer, call in enumerate(last_calls):
        for site, tensor in zip("qkv", call, strict=True):
            found[site, layer] = tensor
    return found


def eager_patterns(name: str, inputs: dict) -> list[torch.Tensor]:
    """Return the patterns `[batch, head, query, key]` that transformers' own eager attention gives."""
    model = families.build(name, "eager")
    with torch.no_grad():
        return list(model(**inputs, output_attentions=True).attentions)


__all__ = ["PATHS", "eager_patterns", "read"]
