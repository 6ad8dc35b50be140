"""Check that each site of a model is where its anatomy says, with one small trace."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from interp_widgets.session.capture import capture
from interp_widgets.session.sites import Site
from interp_widgets.session.trial import evaluating, example_inputs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from interp_widgets.session.anatomy import Anatomy


@dataclass
class Check:
    """What a check of the anatomy found.

    Parameters
    ----------
    works
        Shape of one tensor per standard site, without its batch dimension.
    problems
        Sites whose tensor did not look as it should, and why.
    seconds
        How long the check took.
    """

    works: dict[str, tuple[int, ...]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


def check(anatomy: Anatomy, batch: Mapping[str, Any] | Tensor | None = None) -> Check:
    """Capture every site in one trace and compare shapes; see `Anatomy.check`."""
    begin = time.perf_counter()
    inputs = example_inputs(anatomy.root) if batch is None else batch
    if inputs is None:
        raise ValueError(
            "This model's inputs are not known: pass an example, check({'input': tensor})."
        )
    anatomy.prepare(inputs)
    report = Check()
    sites = [site for site in anatomy.expand(anatomy.sites) if site.name != "pattern"]
    with evaluating(anatomy.root):
        got = capture(anatomy.traceable(), anatomy, inputs, sites, squeeze=True)
    for site, value in got.items():
        expected = _expected(anatomy, site) if value.ndim == len(site.dims) else {}
        wrong = next((d for d, n in expected.items() if value.shape[site.dims.index(d)] != n), None)
        if wrong is not None:
            report.problems[str(site)] = f"{wrong} is not {expected[wrong]} in {tuple(value.shape)}"
        elif not bool(torch.isfinite(value).all()):
            report.problems[str(site)] = "it holds values that are not finite"
        else:
            report.works.setdefault(site.name, tuple(value.shape))
    if anatomy.unread is not None:
        report.problems["q, k, v, pattern"] = f"attention could not be read ({anatomy.unread})"
    if not anatomy.post_norm:
        _check_sums(anatomy, got, report)
    report.seconds = time.perf_counter() - begin
    return report


def _check_sums(anatomy: Anatomy, got: dict[Site, Tensor], report: Check) -> None:
    """Notice models that do more than add: scale (Granite), overwrite (Falcon)."""
    for layer in range(anatomy.n_layers):
        names = ("resid_pre", "attn_out", "mlp_out", "resid_post")
        parts = [got.get(Site(name, layer)) for name in names]
        if any(part is None or part.shape != parts[0].shape for part in parts):  # type: ignore[union-attr]
            continue
        *added, after = [part.double() for part in parts if part is not None]
        if (sum(added) - after).abs().max() > 0.02 * after.abs().max():
            report.problems[f"resid_post.{layer}"] = (
                "it is not resid_pre + attn_out + mlp_out: the model scales or overwrites them, "
                "or adds more (cross-attention)"
            )


def _expected(anatomy: Anatomy, site: Site) -> dict[str, int]:
    """Return the size that each dimension should have, as far as it is known without the tensor."""
    facts = None
    if site.layer in anatomy.layers_of("q"):
        facts = anatomy.attention(int(site.layer or 0))
    known: dict[str, int | None] = {}
    if facts is not None:
        known |= {"head": facts.heads, "kv_head": facts.kv_heads}
        known |= {"d_head": facts.d_head if site.name in ("q", "k") else facts.d_value}
    return {d: n for d, n in known.items() if d in site.dims and n is not None}
