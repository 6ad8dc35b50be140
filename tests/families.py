"""Tiny random models of every family the toolkit supports, with shapes that cannot be mistaken for each other.

Where the family allows: 3 layers, 4 heads, 2 key/value heads, d_head 8, d_model 40, d_mlp 56, vocabulary 61.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

LAYERS, HEADS, KV_HEADS, D_HEAD, D_MODEL, D_MLP, VOCABULARY = 3, 4, 2, 8, 40, 56, 61

IDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
WIDE = {
    "vocab_size": VOCABULARY,
    "hidden_size": D_MODEL,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "head_dim": D_HEAD,
    "intermediate_size": D_MLP,
    "max_position_embeddings": 64,
    **IDS,
}
"""Settings of families whose heads need not fill d_model."""
SQUARE = {
    **{k: v for k, v in WIDE.items() if k not in ("num_key_value_heads", "head_dim")},
    "hidden_size": HEADS * D_HEAD,
}
"""Settings of families where d_model is heads × d_head."""
VISION = {
    "hidden_size": HEADS * D_HEAD,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": D_MLP,
    "image_size": 12,
    "patch_size": 4,
}


@dataclass(frozen=True)
class Family:
    """How to build one family's tiny model.

    Parameters
    ----------
    build
        Makes the model; takes the attention implementation.
    without
        Standard sites that this family does not have.
    eager
        Whether transformers can return its attention patterns.
    stack
        Which list of blocks the anatomy should take.
    """

    build: Callable[[str], Any]
    without: tuple[str, ...] = ()
    eager: bool = True
    image: bool = False
    stack: str | None = None


def _auto(architecture: str, config: str, settings: dict[str, Any]) -> Callable[[str], Any]:
    def build(kernel: str) -> Any:
        import transformers

        made = getattr(transformers, config)(**settings, attn_implementation=kernel)
        return getattr(transformers, architecture)(made)

    return build


def _clip(kernel: str) -> Any:
    from transformers import CLIPConfig, CLIPModel

    text = {**SQUARE, "max_position_embeddings": 32, "projection_dim": 24}
    config = CLIPConfig(
        text_config=text, vision_config={**VISION, "projection_dim": 24}, projection_dim=24
    )
    config._attn_implementation = kernel
    return CLIPModel(config)


HEADLESS = ("logits",)
FAMILIES: dict[str, Family] = {
    "gpt2": Family(
        _auto(
            "GPT2LMHeadModel",
            "GPT2Config",
            {
                "vocab_size": VOCABULARY,
                "n_positions": 64,
                "n_embd": 32,
                "n_layer": LAYERS,
                "n_head": HEADS,
                "n_inner": D_MLP,
                **IDS,
            },
        )
    ),
    "gpt_neox": Family(
        _auto("GPTNeoXForCausalLM", "GPTNeoXConfig", {**SQUARE, "rotary_pct": 0.5}),
        without=("resid_mid",),
    ),
    "gpt_neox_sequential": Family(
        _auto("GPTNeoXForCausalLM", "GPTNeoXConfig", {**SQUARE, "use_parallel_residual": False})
    ),
    "llama": Family(_auto("LlamaForCausalLM", "LlamaConfig", WIDE)),
    "qwen2": Family(
        _auto(
            "Qwen2ForCausalLM",
            "Qwen2Config",
            {
                **{k: v for k, v in WIDE.items() if k != "head_dim"},
                "hidden_size": 32,
                "use_sliding_window": True,
                "sliding_window": 4,
                "max_window_layers": 1,
            },
        )
    ),
    "qwen3": Family(_auto("Qwen3ForCausalLM", "Qwen3Config", WIDE)),
    "gemma2": Family(
        _auto(
            "Gemma2ForCausalLM",
            "Gemma2Config",
            {
                **WIDE,
                "sliding_window": 4,
                "query_pre_attn_scalar": 12,
                "attn_logit_softcapping": 0.5,
                "final_logit_softcapping": 3.0,
            },
        )
    ),
    "gemma3": Family(
        _auto(
            "Gemma3ForCausalLM",
            "Gemma3TextConfig",
            {
                **WIDE,
                "sliding_window": 3,
                "query_pre_attn_scalar": 12,
                "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
            },
        )
    ),
    "olmo2": Family(
        _auto(
            "Olmo2ForCausalLM",
            "Olmo2Config",
            {**{k: v for k, v in WIDE.items() if k != "head_dim"}, "hidden_size": 32},
        )
    ),
    "mistral": Family(_auto("MistralForCausalLM", "MistralConfig", {**WIDE, "sliding_window": 4})),
    "mixtral": Family(
        _auto(
            "MixtralForCausalLM",
            "MixtralConfig",
            {**WIDE, "sliding_window": None, "num_local_experts": 3, "num_experts_per_tok": 2},
        ),
        without=("mlp_post",),
    ),
    "phi3": Family(
        _auto(
            "Phi3ForCausalLM",
            "Phi3Config",
            {
                **{k: v for k, v in WIDE.items() if k != "head_dim"},
                "hidden_size": 32,
                "sliding_window": 5,
            },
        )
    ),
    "gpt_oss": Family(
        _auto(
            "GptOssForCausalLM",
            "GptOssConfig",
            {**WIDE, "sliding_window": 4, "num_local_experts": 3, "num_experts_per_tok": 2},
        ),
        without=("mlp_post",),
    ),
    "bert": Family(_auto("BertForMaskedLM", "BertConfig", SQUARE)),
    "roberta": Family(_auto("RobertaModel", "RobertaConfig", SQUARE), without=HEADLESS),
    "modernbert": Family(
        _auto(
            "ModernBertForMaskedLM",
            "ModernBertConfig",
            {
                **SQUARE,
                "local_attention": 6,
                "layer_types": ["full_attention", "sliding_attention", "sliding_attention"],
                "cls_token_id": 1,
                "sep_token_id": 2,
            },
        )
    ),
    "t5_encoder": Family(
        _auto(
            "T5EncoderModel",
            "T5Config",
            {
                "vocab_size": VOCABULARY,
                "d_model": D_MODEL,
                "d_kv": D_HEAD,
                "d_ff": D_MLP,
                "num_layers": LAYERS,
                "num_heads": HEADS,
                "relative_attention_num_buckets": 8,
                "relative_attention_max_distance": 16,
                "pad_token_id": 0,
                "eos_token_id": 2,
            },
        ),
        without=HEADLESS,
    ),
    "clip_text": Family(
        _auto("CLIPTextModel", "CLIPTextConfig", {**SQUARE, "max_position_embeddings": 32}),
        without=HEADLESS,
    ),
    "clip_vision": Family(
        _auto("CLIPVisionModel", "CLIPVisionConfig", VISION), without=HEADLESS, image=True
    ),
    "vit": Family(
        _auto("ViTForImageClassification", "ViTConfig", {**VISION, "num_labels": 7}), image=True
    ),
    "mamba": Family(
        _auto(
            "MambaForCausalLM",
            "MambaConfig",
            {
                "vocab_size": VOCABULARY,
                "hidden_size": 32,
                "num_hidden_layers": LAYERS,
                "state_size": 4,
                **IDS,
            },
        ),
        without=("q", "k", "v", "z", "pattern", "attn_out", "resid_mid", "mlp_post", "mlp_out"),
        eager=False,
    ),
}
"""Families by name."""

WITH_ATTENTION = [name for name, family in FAMILIES.items() if family.eager]


def build(name: str, kernel: str = "sdpa", seed: int = 0) -> Any:
    """Make one family's tiny model, in evaluation mode, on the CPU.

    Weights are five times wider than a fresh model's, so that attention is far from uniform.
    """
    torch.manual_seed(seed)
    family = FAMILIES[name]
    if not family.eager or name in ("gemma2", "gpt_oss"):
        kernel = "eager"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = family.build(kernel).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(5)
            elif parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def inputs(name: str, length: int = 9, batch: int = 1, seed: int = 1) -> dict[str, torch.Tensor]:
    """Make an input for one family: `input_ids [batch, position]`, or `pixel_values [batch, channel, 12, 12]`."""
    generator = torch.Generator().manual_seed(seed)
    if FAMILIES[name].image:
        return {"pixel_values": torch.randn(batch, 3, 12, 12, generator=generator)}
    return {"input_ids": torch.randint(3, VOCABULARY, (batch, length), generator=generator)}
