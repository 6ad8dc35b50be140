"""Live Jupyter views of the inside of neural networks.

``import interp_widgets as iw`` loads nothing heavy; every public name is imported on first use.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Session": "interp_widgets.session.session",
    "Ablate": "interp_widgets.session.interventions",
    "Scale": "interp_widgets.session.interventions",
    "Steer": "interp_widgets.session.interventions",
    "Patch": "interp_widgets.session.interventions",
    "Clamp": "interp_widgets.session.interventions",
    "explicit_attention": "interp_widgets.session.multihead",
    "activations": "interp_widgets.methods.activations",
    "attention": "interp_widgets.methods.attention",
    "logit_lens": "interp_widgets.methods.logit_lens",
    "next_tokens": "interp_widgets.methods.next_tokens",
    "neurons": "interp_widgets.methods.neurons",
    "attribute": "interp_widgets.methods.attribute",
    "patching": "interp_widgets.methods.patching",
    "path_patching": "interp_widgets.methods.path_patching",
    "path_search": "interp_widgets.methods.path_patching",
    "direct_logit_attribution": "interp_widgets.methods.direct_logit_attribution",
    "head_scores": "interp_widgets.methods.head_scores",
    "head_circuit": "interp_widgets.methods.head_circuits",
    "composition": "interp_widgets.methods.head_circuits",
    "causal_trace": "interp_widgets.methods.causal_trace",
    "circuit": "interp_widgets.methods.circuit",
    "mediation": "interp_widgets.methods.mediation",
    "mediator_search": "interp_widgets.methods.mediation",
    "variable_alignment": "interp_widgets.methods.mediation",
    "contextual_decomposition": "interp_widgets.methods.cdt.grid",
    "phrase_importance": "interp_widgets.methods.cdt.importance",
    "attribution_graph": "interp_widgets.methods.attribution_graph.graph",
    "feature_intervention": "interp_widgets.methods.attribution_graph.intervention",
    "Transcoders": "interp_widgets.methods.attribution_graph.transcoders",
    "Transcoder": "interp_widgets.methods.attribution_graph.transcoders",
    "SparseTranscoder": "interp_widgets.methods.attribution_graph.transcoders",
    "extract_circuit": "interp_widgets.methods.extraction.extract",
    "extraction_sweep": "interp_widgets.methods.extraction.extract",
    "circuit_toggles": "interp_widgets.methods.extraction.extract",
    "crosscheck": "interp_widgets.methods.crosscheck",
    "concepts": "interp_widgets.methods.concepts",
    "show": "interp_widgets.methods.show",
    "scatter": "interp_widgets.methods.scatter",
    "catalogue": "interp_widgets.methods.taxonomy",
    "method": "interp_widgets.methods.catalogue",
    "load": "interp_widgets.results.base",
    "open_graph": "interp_widgets.results.open_graph",
    "panels": "interp_widgets.figures.panels",
    "to_html": "interp_widgets.views.page",
}
_MODULES = {
    "claims": "interp_widgets.methods.claims",
    "cdt": "interp_widgets.methods.cdt",
    "circuits": "interp_widgets.methods.circuits",
    "demo": "interp_widgets.demo",  # a module that can be called
    "mediators": "interp_widgets.methods.mediation",
    "dossier": "interp_widgets.methods.dossier",
    "hypotheses": "interp_widgets.methods.hypotheses",
    "particle": "interp_widgets.methods.particle",
    "tasks": "interp_widgets.demo.tasks",
    "weights": "interp_widgets.methods.weights",
}

__all__ = ["__version__", *_MODULES, *_PUBLIC]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'interp_widgets' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
