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

SIDE: Final = 1024
"""Queries and keys of the part of a long prompt whose differences are listed."""

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


def contrast(
    result: AttentionResult, one: tuple[int, int], other: tuple[int, int] | None
) -> pd.DataFrame:
    """Return what two heads, or one head on two prompts, attend to, the largest difference first.

    Parameters
    ----------
    result
        Of long prompts the part of the first `SIDE` queries and keys.
    one
        A head as (layer, head).
    other
        The head to compare with; None compares with the same head on the second prompt.

    Returns
    -------
    DataFrame
        Columns `query, key, query_token, key_token`, one for each of the two, and `difference`, the
        first minus the other. Pairs where both are zero are left out.
    """
    import numpy as np
    import pandas as pd

    theirs = result.against if other is None else result
    if theirs is None:
        raise ValueError("this result holds no second prompt: iw.attention(prompt, against=…)")
    part = slice(0, SIDE)
    a = result.tile(*one, part, part).cpu().numpy()
    b = theirs.tile(*(one if other is None else other), part, part).cpu().numpy()
    if a.shape != b.shape:
        raise ValueError(f"a difference needs prompts of one length, not {a.shape} and {b.shape}")
    query, key = np.nonzero((a != 0) | (b != 0))
    order = np.argsort(-np.abs(a - b)[query, key], kind="stable")
    query, key = query[order], key[order]
    names = [f"{layer}.{head}" for layer, head in (one, other or one)]
    if other is None:
        names = ["this prompt", "other prompt"]
    queries, keys = result.query_tokens, result.tokens
    columns = {
        "query": query,
        "key": key,
        "query_token": [queries[i] for i in query],
        "key_token": [keys[i] for i in key],
        names[0]: a[query, key],
        names[1]: b[query, key],
        "difference": (a - b)[query, key],
    }
    if names[0] == names[1]:
        columns = {name: column for name, column in columns.items() if name != names[0]}
    return pd.DataFrame(columns)
