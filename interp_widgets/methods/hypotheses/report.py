"""Several hypotheses on one model, as a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from torch import Tensor

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.hypotheses.emergence import emergence
from interp_widgets.methods.hypotheses.linear import linear_representation
from interp_widgets.methods.hypotheses.motifs import motifs
from interp_widgets.methods.hypotheses.purity import monosemanticity
from interp_widgets.methods.hypotheses.state import internal_state
from interp_widgets.methods.hypotheses.superposition import superposition
from interp_widgets.methods.hypotheses.universality import universality
from interp_widgets.results.array import ArrayResult
from interp_widgets.results.hypotheses import HypothesisReport
from interp_widgets.session.prompts import Prompt, PromptBatch
from interp_widgets.session.session import Session

Name = Literal["H1", "H2", "H3", "H4", "H5", "H6", "H7"]
TITLES = {
    "H1": "superposition",
    "H2": "linear representation",
    "H3": "monosemanticity",
    "H4": "circuits and motifs",
    "H5": "universality",
    "H6": "emergence",
    "H7": "internal state",
}
NEEDS = {
    "H1": (),
    "H2": ("positive", "negative"),
    "H3": ("prompts",),
    "H4": (),
    "H5": ("prompts", "other"),
    "H6": ("checkpoints",),
    "H7": ("prompts", "states", "answers"),
}


@method(
    "hypotheses",
    result="hypotheses",
    title="Hypotheses about a model",
    paper="Bereska and Gavves 2024, arXiv:2404.14082 §3",
    family="hypotheses",
    unit="model",
    cost="what the hypotheses chosen cost",
    tags="mechanistic, interventional, global, hypothesis generation, feature, neuron, head, motif",
)
def run(
    run: Run,
    session: Session,
    which: Sequence[Name] | None = None,
    *,
    prompts: PromptBatch | Sequence[Prompt] | None = None,
    positive: PromptBatch | Sequence[Prompt] | None = None,
    negative: PromptBatch | Sequence[Prompt] | None = None,
    dictionary: Tensor | None = None,
    other: Session | None = None,
    checkpoints: Sequence[str] | None = None,
    states: Sequence[str] | None = None,
    answers: Mapping[str, str | int] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    seed: int = 0,
) -> HypothesisReport:
    """Test hypotheses on a model; each number comes with the same number where it must be false.

    Parameters
    ----------
    session
        The model.
    which
        ``"H1"`` superposition, ``"H2"`` linear representation, ``"H3"`` monosemanticity, ``"H4"``
        circuits and motifs, ``"H5"`` universality, ``"H6"`` emergence, ``"H7"`` internal state.
        Default: all whose inputs are given.
    prompts
        Texts, for H3, H5 and H7.
    positive, negative
        Pairs with and without a concept, for H2.
    dictionary
        Features ``[feature, d]`` for H1 and H3.
    other
        A second model, for H5.
    checkpoints
        Files of weights in the order of training, for H6.
    states, answers
        The latent variable of each prompt, and what is right in each state, for H7.
    options
        Further arguments of a hypothesis by its name: ``{"H4": {"lengths": [8, 12]}}``.
    seed
        Of all draws.

    Returns
    -------
    HypothesisReport
        ``.frame()`` has a row for each number with its null and p-value; ``.parts`` the arrays, and
        ``.view("H4")`` opens one. What was not run, and what it needs, stands in the report.

    Raises
    ------
    ValueError
        When a hypothesis is asked for and its inputs are missing.

    Examples
    --------
    >>> iw.hypotheses.run(iw.demo(), ["H1", "H4"]).frame()
    """
    given = {
        "prompts": prompts,
        "positive": positive,
        "negative": negative,
        "other": other,
        "checkpoints": checkpoints,
        "states": states,
        "answers": answers,
    }
    lacking = {name: [k for k in needs if given[k] is None] for name, needs in NEEDS.items()}
    chosen = list(which) if which is not None else [n for n in NEEDS if not lacking[n]]
    missing = next((name for name in chosen if lacking[name]), None)
    if missing is not None:
        raise ValueError(
            f"{missing} ({TITLES[missing]}) needs {' and '.join(lacking[missing])}: give them to "
            "iw.hypotheses.run, or leave it out of which"
        )
    calls: dict[str, tuple[Callable[..., ArrayResult], tuple[Any, ...]]] = {
        "H1": (superposition, (session, dictionary)),
        "H2": (linear_representation, (positive, negative)),
        "H3": (monosemanticity, (prompts, dictionary)),
        "H4": (motifs, (session,)),
        "H5": (universality, (prompts, other)),
        "H6": (emergence, (session, checkpoints)),
        "H7": (internal_state, (prompts, states, answers)),
    }
    parts = {}
    for i, name in enumerate(chosen):
        run.progress(i, len(chosen))
        call, inputs = calls[name]
        parts[name] = call(*inputs, seed=seed, **dict((options or {}).get(name, {})))
    left = {
        name: "needs " + " and ".join(lacking[name]) if lacking[name] else "not asked for"
        for name in NEEDS
        if name not in parts
    }
    return HypothesisReport.of(parts, left, model=session.name)
