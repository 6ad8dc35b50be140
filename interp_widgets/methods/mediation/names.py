"""The shorthands of mediators, and the grids of them that one word stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from interp_widgets.methods.mediation.composed import Path, mediator_of
from interp_widgets.methods.mediation.mediators import Mediator, Neurons, Position
from interp_widgets.session.sites import DIMS, WITHOUT_LAYER, Site, SiteError
from interp_widgets.session.targets import WITH_HEADS, heads_of, unit_width

if TYPE_CHECKING:
    from interp_widgets.methods.mediation.alignment import AlignedGroup
    from interp_widgets.session.session import Session


GRIDS = {
    "heads": "z",
    "mlps": "mlp_out",
    "attention": "attn_out",
    "resid_pre": "resid_pre",
    "resid_mid": "resid_mid",
    "resid_post": "resid_post",
    "attn_out": "attn_out",
    "mlp_out": "mlp_out",
}
"""Words that stand for a mediator in every layer, and the site of each."""

Given = str | Mapping[str, object] | Sequence[str | Mapping[str, object]]
"""What ``mediators=`` takes."""

Positions = str | Sequence[int] | Mapping[str, int | Sequence[int]] | None


@dataclass(frozen=True)
class Chosen:
    """Mediators, and the grid that they fill, if they fill one.

    Parameters
    ----------
    mediators
        In the order of the grid's cells, last dim fastest.
    dims, labels
        Of the grid; empty where the mediators are a list.
    """

    mediators: tuple[Mediator, ...]
    dims: tuple[str, ...] = ()
    labels: dict[str, list[str]] = field(default_factory=dict)


def choose(
    session: Session,
    given: Given,
    groups: Sequence[AlignedGroup],
    layers: Sequence[int] | None = None,
    positions: Positions = None,
) -> Chosen:
    """Return the mediators that a call names.

    Parameters
    ----------
    session
        Whose model has to have them.
    given
        A word of ``GRIDS`` (a grid of layers and heads or positions), ``"neurons"``, or one or more
        mediators.
    groups
        The pairs.
    layers
        Of a grid; default all.
    positions
        Of a grid: ``"each"`` position, some positions, or names with a position (or one for each
        pair). None: all together.

    Raises
    ------
    SiteError, ValueError
        When the model or the prompts have no such thing.
    """
    if not isinstance(given, str) or (given not in GRIDS and given != "neurons"):
        if positions is not None or layers is not None:
            raise ValueError(
                "layers= and positions= go with a grid of mediators, one of "
                f"{', '.join(GRIDS)}; single mediators name their own: 'resid_post.5@-1'"
            )
        several = [given] if isinstance(given, str | Mapping) else list(given)
        if not several:
            raise ValueError("mediators is empty; give at least one")
        made = [check(session, mediator_of(one)) for one in several]
        return Chosen(tuple(made))
    if given == "neurons":
        raise ValueError(
            'single neurons are too many to run each: iw.mediator_search(…, "neurons", '
            'method="attribution") estimates all and runs the best'
        )
    name = GRIDS[given]
    sites = sites_of(session, name, layers)
    base = [Mediator(site=name, layer=site.layer) for site in sites]
    dims, labels = ["layer"], {"layer": [str(site.layer) for site in sites]}
    if name in ("z", "q", "k", "v"):
        counts = {heads_of(session.anatomy, site) for site in sites}
        if len(counts) > 1:
            raise SiteError("layers have different numbers of heads; give the heads as a list")
        base = [replace(m, head=h) for m in base for h in range(next(iter(counts)))]
        dims.append("head")
    named = _positions(groups, positions)
    if named is not None:
        base = [replace(m, position=p) for m in base for p in named.values()]
        dims.append("position")
        labels["position"] = list(named)
    made = [check(session, mediator) for mediator in base]
    return Chosen(tuple(made), tuple(dims), labels)


def sites_of(session: Session, name: str, layers: Sequence[int] | None) -> list[Site]:
    """Return a site of each layer asked for; raises SiteError when there is none."""
    if layers is None:
        return list(session.anatomy.expand(name))
    if not len(layers):
        raise SiteError("layers is empty; give at least one, or leave it out for all")
    sites = [Site(name, int(layer)) for layer in layers]
    for site in sites:
        session.anatomy.locate(site)
    return sites


def _positions(groups: Sequence[AlignedGroup], given: Positions) -> dict[str, Position] | None:
    """Return the positions of a grid by name, in order."""
    if given is None:
        return None
    if isinstance(given, Mapping):
        pairs = sum(len(group.at) for group in groups)
        for name, at in given.items():
            if not isinstance(at, int) and len(at) != pairs:
                raise ValueError(f"positions[{name!r}] has {len(at)} entries for {pairs} pairs")
        return dict(given)
    if isinstance(given, str):
        if given != "each":
            raise ValueError(
                f'positions is "each", a list of positions, or names with positions, not {given!r}'
            )
        alignments = {group.alignment for group in groups}
        if len(alignments) > 1 or len({group.length for group in groups}) > 1:
            raise ValueError(
                "the pairs have different lengths, so that their positions are not the same "
                'place; name places: positions={"end": -1, "subject": [4, 6, …]}'
            )
        chosen: Sequence[int] = [ours for ours, _ in groups[0].alignment]
    else:
        chosen = [int(p) for p in given]
        if not chosen:
            raise ValueError("positions is empty; give at least one, or leave it out")
    names = _tokens(groups) if isinstance(given, str) else {}
    shown = [f"{p} {names[p]}" if p in names else str(p) for p in chosen]
    return dict(zip(shown, chosen, strict=True))


def _tokens(groups: Sequence[AlignedGroup]) -> dict[int, str]:
    """Name positions by the tokens there: by both of a pair where they differ, by two of many."""
    found: dict[int, str] = {}
    for ours, theirs in groups[0].alignment:
        seen = [
            prompt.tokens[at]
            for group in groups
            for side, at in ((group.clean, ours), (group.corrupted, theirs))
            for prompt in side
        ]
        different = list(dict.fromkeys(seen))
        found[ours] = " /".join(different[:2]) + " /…" * (len(different) > 2)
    return found


def width_of_model(session: Session) -> int:
    """Return the dimensions that a model has per position: what all blocks' parts write."""
    anatomy = session.anatomy
    width = anatomy.d_model or 0
    return max(1, width * anatomy.n_layers * 2)


def describe(mediator: Mediator, dims: int) -> dict[str, Any]:
    """Return what a result keeps of a mediator."""
    part = mediator.parts[0]
    simple = len(mediator.parts) == 1 and not isinstance(part, Path)
    number = part.position if isinstance(part.position, int) else None
    unit = part.units[0] if isinstance(part, Neurons) and len(part.units) == 1 else None
    return {
        "name": mediator.label,
        "type": mediator.kind,
        "site": part.site if simple else None,
        "layer": part.layer if simple else None,
        "head": part.head if simple else None,
        "position": number if simple else None,
        "unit": unit,
        "dims": dims,
        "aligned": all(p.aligned for p in mediator.parts),
        "linear": all(p.linear for p in mediator.parts),
        "members": [m.label for m in getattr(mediator, "members", ())],
        "standard": simple and part.site in DIMS,
    }


def check(session: Session, mediator: Mediator) -> Mediator:
    """Return the mediator when the model has it.

    Raises
    ------
    SiteError
        When the model has no such site, head or unit.
    """
    for part in mediator.parts:
        if isinstance(part, Path):
            continue
        for site in dict.fromkeys((part.where, part.reads_at)):
            if site.name in ("pattern", "bias", "logits"):
                raise SiteError(f"{site.name!r} is no mediator; use z, q, k, v or a stream")
            if site.layer is None and site.name in DIMS and site.name not in WITHOUT_LAYER:
                raise SiteError(f"{site.name!r} needs a layer: {site.name}.0")
            session.anatomy.locate(site)
        site = part.where
        if part.head is not None:
            count = heads_of(session.anatomy, site) if site.name in WITH_HEADS else 0
            if not 0 <= part.head < count:
                raise SiteError(f"there is no head {part.head} in {site}: it has {count}")
        width = unit_width(session.anatomy, site) if site.name in DIMS else 0
        if isinstance(part, Neurons):
            wrong = [u for u in part.units if u < 0 or (width and u >= width)]
            if wrong or not len(part.units):
                raise SiteError(f"{site} has {width or 'no such'} units, not {list(part.units)}")
    return mediator
