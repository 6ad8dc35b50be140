"""Whether a model has an intervention's target: layer, heads, units, positions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interp_widgets.session.errors import InterventionError
from interp_widgets.session.interventions import Intervention, Steer
from interp_widgets.session.sites import DIMS, WITHOUT_LAYER, Site, SiteError

if TYPE_CHECKING:
    from interp_widgets.session.anatomy import Anatomy

WITH_HEADS = ("q", "k", "v", "z", "cross_z", "pattern")


def check_target(
    item: Intervention, anatomy: Anatomy, max_positions: int | None = None
) -> Intervention:
    """Return the intervention when the model has its target.

    Raises
    ------
    InterventionError
        Saying what there is.
    """
    standard = item.site in DIMS
    if item.site == "bias":
        raise InterventionError('the position bias cannot be changed; change "pattern" instead')
    if standard and item.site not in WITHOUT_LAYER and item.layer is None:
        last = anatomy.n_layers - 1
        raise InterventionError(f"{item.kind} {item.site!r} needs a layer: layer=0 to layer={last}")
    try:
        site = Site(item.site, item.layer)
        anatomy.locate(site)
    except SiteError as error:
        raise InterventionError(str(error)) from error
    if max_positions is not None and any(
        not -max_positions <= p < max_positions for p in item.position or ()
    ):
        raise InterventionError(
            f"{item.where()}: a prompt of this model has at most {max_positions:,} positions"
        )
    if item.head is not None:
        if item.site not in WITH_HEADS:
            raise InterventionError(
                f"{item.site!r} has no heads; head= goes with {', '.join(WITH_HEADS)}"
            )
        count = heads_of(anatomy, site)
        wrong = next((h for h in item.head if not 0 <= h < count), None)
        if wrong is not None:
            raise InterventionError(
                f"there is no head {wrong} in {site}: its heads are 0 to {count - 1}"
            )
    if standard and item.site != "pattern":
        width = unit_width(anatomy, site)
        wrong = next((u for u in item.unit or () if width and not 0 <= u < width), None)
        if wrong is not None:
            raise InterventionError(
                f"there is no unit {wrong} in {site}: its units are 0 to {width - 1}"
            )
        if isinstance(item, Steer) and width:
            length = len(item.unit) if item.unit is not None else width
            if len(item.direction) != length:
                raise InterventionError(
                    f"the direction has {len(item.direction)} numbers; {item.where()} has {length}"
                )
    elif any(u < 0 for u in item.unit or ()):
        raise InterventionError(f"there is no unit {min(item.unit or (0,))}; units count from 0")
    return item


def heads_of(anatomy: Anatomy, site: Site) -> int:
    """Return the number of heads of ``q, k, v, z`` or ``pattern``."""
    facts = anatomy.attention(site.layer or 0)
    return facts.kv_heads if site.name in {"k", "v"} else facts.heads


def unit_width(anatomy: Anatomy, site: Site) -> int:
    """Return the size of the last dimension of a site; 0 where it is not known."""
    place = anatomy.locate(site)
    if place.d_head is not None:
        return place.d_head
    shape = anatomy._shapes.get((place.path, place.port))  # noqa: SLF001 - one room
    return shape[-1] if shape else 0


def width_of(anatomy: Anatomy, site: Site) -> int:
    """Return the numbers per position of a site (``heads × d_head`` for a head's site)."""
    if site.name == "pattern":
        return 0
    heads = heads_of(anatomy, site) if site.name in WITH_HEADS else 1
    return heads * unit_width(anatomy, site)
