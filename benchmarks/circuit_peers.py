"""Edge scores by TransformerLens, auto-circuit and the EAP-IG library, on a Hugging Face GPT-2.

They need an environment of their own: transformer-lens 2.17, auto-circuit 1.0.1, transformers 4.57,
and the ``src`` folder of the EAP-IG repository on the path. Importing this module needs the first.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from transformer_lens import HookedTransformer, HookedTransformerConfig
from transformer_lens.pretrained.weight_conversions import convert_gpt2_weights

from interp_widgets.results.graph import Graph

FOLDER = tempfile.TemporaryDirectory()
"""TransformerLens loads a tokenizer once more from where it came from."""


def hooked(model: Any, *, edges: bool = True) -> HookedTransformer:
    """Return a GPT-2 of transformers as a HookedTransformer with the same weights."""
    own = model.config
    config = HookedTransformerConfig(
        n_layers=own.n_layer,
        d_model=own.n_embd,
        n_heads=own.n_head,
        d_head=own.n_embd // own.n_head,
        d_mlp=4 * own.n_embd,
        n_ctx=own.n_positions,
        d_vocab=own.vocab_size,
        act_fn="gelu_new",
        normalization_type="LN",
        device="cpu",
    )
    found = HookedTransformer(config, tokenizer=tokenizer(own.vocab_size)).eval()
    weights = convert_gpt2_weights(model, config)
    weights["unembed.b_U"] = torch.zeros(own.vocab_size)
    missing = found.load_state_dict(weights, strict=False)
    assert not missing.unexpected_keys, missing
    if edges:
        found.set_use_attn_result(True)
        found.set_use_split_qkv_input(True)
        found.set_use_hook_mlp_in(True)
    return found


def tokenizer(vocabulary: int) -> Any:
    """Return a tokenizer of the words w0, w1, …; the last id begins a text."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    words = {f"w{i}": i for i in range(vocabulary - 1)} | {"<|end|>": vocabulary - 1}
    core = Tokenizer(models.WordLevel(words, unk_token="<|end|>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    names = dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), "<|end|>")
    PreTrainedTokenizerFast(tokenizer_object=core, **names).save_pretrained(FOLDER.name)
    return AutoTokenizer.from_pretrained(FOLDER.name)


class OnCpu(TorchFunctionMode):
    """Makes on the CPU what a library asks to have on ``"cuda"``."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if kwargs.get("device") == "cuda":
            kwargs["device"] = "cpu"
        return func(*args, **kwargs)


def eap_library(
    model: HookedTransformer, clean: torch.Tensor, corrupted: torch.Tensor, good: int, bad: int
) -> Callable[..., np.ndarray]:
    """Return a function from the name of a method to scores ``[n_forward, n_backward]``."""
    from eap.attribute import attribute
    from eap.graph import Graph as Theirs

    texts = [
        [" ".join(f"w{i}" for i in row) for row in x[:, 1:].tolist()] for x in (clean, corrupted)
    ]
    loader = [(*texts, None)]
    graph = Theirs.from_model(model)

    def loss(logits: torch.Tensor, *_: Any) -> torch.Tensor:
        return (logits[:, -1, bad] - logits[:, -1, good]).sum()

    def run(method: str, **options: Any) -> np.ndarray:
        with OnCpu():
            attribute(model, graph, loader, loss, method, quiet=True, **options)
        return graph.scores.detach().numpy()

    return run


def autocircuit(
    model: HookedTransformer, clean: torch.Tensor, corrupted: torch.Tensor, good: int, bad: int
) -> Callable[..., np.ndarray]:
    """Return a function that scores edges by mask gradients ``[n_forward, n_backward]``."""
    from auto_circuit.data import PromptDataLoader, PromptDataset
    from auto_circuit.prune_algos.mask_gradient import mask_gradient_prune_scores
    from auto_circuit.utils.graph_utils import patchable_model

    right, wrong = ([torch.tensor([t])] * len(clean) for t in (good, bad))
    loader = PromptDataLoader(
        PromptDataset(clean, corrupted, right, wrong),
        seq_len=clean.shape[1],
        diverge_idx=0,
        batch_size=len(clean),
        shuffle=False,
    )
    wrapped = patchable_model(
        model,
        factorized=True,
        slice_output="last_seq",
        separate_qkv=True,
        device=torch.device("cpu"),
    )
    graph = Graph.build(model.cfg.n_layers, model.cfg.n_heads)

    def run(**options: Any) -> np.ndarray:
        found = mask_gradient_prune_scores(
            wrapped, loader, None, grad_function="logit", answer_function="avg_diff", **options
        )
        scores = np.zeros(graph.shape, np.float32)
        for edge in wrapped.edges:
            at = graph.edge(f"{_named(edge.src.name)}->{_named(edge.dest.name)}")
            scores[at] = float(edge.prune_score(found))
        return scores

    return run


def _named(name: str) -> str:
    """Return our name of a node of auto-circuit: ``A3.7.Q`` is ``a3.h7<q>``."""
    if name.startswith("MLP"):
        return f"m{name.split()[1]}"
    if name.startswith("Resid"):
        return "input" if "Start" in name else "logits"
    layer, head, *slot = name.removeprefix("A").split(".")
    return f"a{layer}.h{head}" + (f"<{slot[0].lower()}>" if slot else "")
