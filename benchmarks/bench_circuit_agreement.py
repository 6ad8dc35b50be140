"""Do our edge scores agree with those of other libraries? Spearman, on the same random weights.

A model of GPT-2 small's 12 layers and 12 heads, 32,491 edges, 4 pairs of 10 tokens. Skipped where
TransformerLens is not installed (``circuit_peers.py``).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import numpy as np
import torch
from scipy.stats import spearmanr
from transformers import GPT2Config, GPT2LMHeadModel

import interp_widgets as iw
from benchmarks.table import Row

VOCABULARY, GOOD, BAD = 503, 11, 22


def run() -> Iterator[Row]:
    from benchmarks import circuit_peers

    torch.manual_seed(0)
    config = GPT2Config(
        n_embd=192,
        n_positions=32,
        vocab_size=VOCABULARY,
        bos_token_id=VOCABULARY - 1,
        eos_token_id=VOCABULARY - 1,
        initializer_range=0.08,
    )
    model = GPT2LMHeadModel(config).eval()
    draw = torch.Generator().manual_seed(1)
    ids = torch.randint(0, VOCABULARY - 1, (2, 4, 10), generator=draw)
    ids[:, :, 0] = VOCABULARY - 1
    clean, corrupted = ids
    theirs = circuit_peers.hooked(model)
    with torch.no_grad():
        far = float((theirs(clean) - model(clean).logits).abs().max())
    assert far < 1e-3, f"the libraries do not run the same model: logits differ by {far:.1e}"
    session = iw.Session(model)
    pairs = [[session.prompt(x, answer=GOOD, foil=BAD) for x in part.tolist()] for part in ids]

    def ours(method: str, **options: object) -> np.ndarray:
        return iw.circuit(*pairs, method=method, faithfulness=False, **options).numpy("scores")

    ends = clean, corrupted, GOOD, BAD
    real = iw.circuits.Graph.from_session(session).real_edge_mask

    def row(name: str, own: np.ndarray, other: np.ndarray, against: str) -> Row:
        rank = float(spearmanr(own[real], other[real]).statistic)
        gap = float(np.abs(own - other)[real].max() / np.abs(other[real]).max())
        print(
            f"{name}, {against}: Spearman {rank:.6f}, largest difference {gap:.1e} of the largest"
        )
        return Row(name, rank, 1.0, "ρ", against, "≥ 0.999")

    if importlib.util.find_spec("eap") is not None:
        library = circuit_peers.eap_library(theirs, *ends)
        yield row("EAP", ours("eap"), library("EAP"), "EAP-IG library")
        yield row(
            "EAP-IG, 5 steps, corrupted end",
            ours("eap-ig", endpoint="corrupted"),
            library("EAP-IG-inputs", ig_steps=5),
            "EAP-IG library",
        )
        yield row(
            "clean-corrupted",
            ours("clean-corrupted"),
            library("clean-corrupted"),
            "EAP-IG library",
        )
        yield row(
            "information-flow routes",
            ours("flow-routes"),
            library("information-flow-routes"),
            "EAP-IG library",
        )
    if importlib.util.find_spec("auto_circuit") is not None:
        masks = circuit_peers.autocircuit(circuit_peers.hooked(model), *ends)
        yield row("EAP", ours("eap"), masks(mask_val=0.0), "auto-circuit")
    session.close()
