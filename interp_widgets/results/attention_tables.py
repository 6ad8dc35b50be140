"""The numbers of attention as tables: heads with their scores, weights at a selection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from interp_widgets.results.attention_scores import HEAD_SCORES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from interp_widgets.results.attention import AttentionResult

STRONGEST: Final = 5
"""Keys of each head that are listed for a token when no head is selected."""

COLUMNS: Final = ["layer", "head", "query", "key", "query_token", "key_token", "weight"]


def heads(result: AttentionResult) -> pd.DataFrame:
    """Return one row per head with its scores."""
    import pandas as pd

    scores = {name: result.head_score(name) for name in HEAD_SCORES}
    rows = [
        {"layer": layer, "head": head, **{name: value[i, head] for name, value in scores.items()}}
        for i, layer in enumerate(result.layers)
        for head in range(result.n_heads)
    ]
    return pd.DataFrame(rows)


def at(result: AttentionResult, selection: Mapping[str, Any]) -> pd.DataFrame:
    """Return the weights at the selected token, layer and head; see `AttentionResult.at`."""
    import pandas as pd

    token, layer, head = (selection.get(name) for name in ("token", "layer", "head"))
    if token is None:
        frame = heads(result)
        for name, value in (("layer", layer), ("head", head)):
            frame = frame if value is None else frame[frame[name] == value]
        return frame.reset_index(drop=True)
    rows: list[list[Any]] = []
    if 0 <= token < result.n_queries:
        name, tokens = result.query_tokens[token], result.tokens
        for a in (n for n in result.layers if layer in (None, n)):
            for b in (n for n in range(result.n_heads) if head in (None, n)):
                weights = result.queries(a, b, [token])[0]
                keys: Sequence[int] = range(len(weights))
                if layer is None or head is None:
                    keys = weights.topk(min(STRONGEST, len(weights))).indices.tolist()
                rows += [[a, b, token, k, name, tokens[k], float(weights[k])] for k in keys]
    return pd.DataFrame(rows, columns=COLUMNS)
