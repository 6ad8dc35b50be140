"""One small result of each kind, with the tokens that break careless drawing code."""

import numpy as np
import pytest

from interp_widgets.results.array import ArrayResult
from interp_widgets.results.attention import AttentionResult
from interp_widgets.results.circuit import CircuitResult
from interp_widgets.results.concepts import ConceptResult
from interp_widgets.results.graph import Graph
from interp_widgets.results.lens import LensResult
from interp_widgets.results.modules import ModulesResult
from interp_widgets.results.recipe import Recipe
from interp_widgets.results.tokens import TokensResult

TOKENS = [
    "<|endoftext|>",
    "When",
    " Mary",
    " $5",
    " and",
    " John",
    "\n",
    " <script>",
    " John",
    "日",
]
RECIPE = Recipe("logit_lens", {"k": 3}, {"name": "tiny"}, [{"kind": "ablate", "on": True}])


@pytest.fixture
def results():
    rng = np.random.default_rng(0)
    T = len(TOKENS)
    array = rng.standard_normal((3, 5, T)).astype(np.float32)
    array[0, 1, 2], array[0, 2, 3] = np.nan, np.inf
    pattern = np.tril(rng.random((3, 4, T, T)))
    pattern /= pattern.sum(-1, keepdims=True)
    graph = Graph.build(3, 4)
    graph = graph.with_scores(rng.standard_normal(graph.shape) * graph.real_edge_mask).top_n(40)
    effect = rng.standard_normal((5, 3))
    return {
        "array": ArrayResult(
            {"values": array},
            {"dims": ["layer", "head", "position"], "labels": {"position": TOKENS}, "title": "A"},
            RECIPE,
        ),
        "attention": AttentionResult(
            {"pattern": pattern.astype(np.float32)},
            {"tokens": TOKENS, "title": "Attention"},
            RECIPE,
        ),
        "lens": LensResult(
            {
                "ids": rng.integers(0, T, (4, T, 3)),
                "probs": np.sort(rng.random((4, T, 3)))[..., ::-1].copy(),
                "entropy": rng.random((4, T)),
            },
            {
                "tokens": TOKENS,
                "layers": ["embed", "0", "1", "2"],
                "strings": {str(i): t for i, t in enumerate(TOKENS)},
                "title": "Logit lens",
            },
            RECIPE,
        ),
        "tokens": TokensResult(
            {"values": rng.standard_normal((2, T))}, {"tokens": TOKENS, "title": "IG"}, RECIPE
        ),
        "circuit": CircuitResult.from_graph(graph, title="EAP", metric="logit difference"),
        "concepts": ConceptResult(
            {
                "effect": effect,
                "low": effect - 0.4,
                "high": effect + 0.5,
                "significant": np.abs(effect) > 0.3,
                "negligible": np.abs(effect) < 0.6,
            },
            {"concepts": ["a", "b $c", "<script>", "d", "e"], "layers": [0, 1, 2], "title": "C"},
            RECIPE,
        ),
        "modules": ModulesResult(
            {},
            {
                "title": "Modules",
                "tree": {
                    "name": "model",
                    "path": "",
                    "class": "GPT2",
                    "parameters": 1234,
                    "shape": None,
                    "children": [
                        {
                            "name": "wte",
                            "path": "wte",
                            "class": "Embedding",
                            "parameters": 99,
                            "shape": "[1, 7, 8]",
                            "children": [],
                        }
                    ],
                },
            },
        ),
    }
