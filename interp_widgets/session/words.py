"""What a change of the interventions did, as a person would say it."""

from __future__ import annotations

from collections.abc import Sequence

from interp_widgets.session.interventions import Ablate, Clamp, Intervention, Patch, Scale, Steer

HEADS = {"z": "head", "cross_z": "cross-attention head"}
ABLATED = {
    "zero": "ablated",
    "mean": "set to its mean",
    "mean_positional": "set to its mean",
    "resample": "resampled",
}


def place(item: Intervention) -> str:
    """Return the target in words: ``head 9.6``, ``resid_post 3``."""
    where = item.where()
    name = HEADS.get(item.site) if item.head else None
    return where if name is None else where.replace(item.site, name, 1)


def done(item: Intervention) -> str:
    """Return what an intervention does: ``head 9.6 ablated``."""
    how = item.kind
    if isinstance(item, Ablate):
        how = ABLATED[item.method]
    elif isinstance(item, Scale):
        how = f"scaled by {item.factor:g}"
    elif isinstance(item, Clamp):
        how = f"clamped to {item.value:g}"
    elif isinstance(item, Steer):
        how = f"steered{f' along {item.label}' if item.label else ''}, strength {item.strength:.4g}"
    elif isinstance(item, Patch):
        how = f"patched {item.how()}"
    return f"{place(item)} {how}"


def undone(item: Intervention) -> str:
    """Return what it means that an intervention went: ``head 9.6 restored``."""
    if isinstance(item, Steer):
        return f"{place(item)} no longer steered{f' along {item.label}' if item.label else ''}"
    return f"{place(item)} restored"


def change(before: Sequence[Intervention], after: Sequence[Intervention]) -> str:
    """Return what happened between two lists, in one sentence; empty where nothing did."""
    old, new = {i.id: i for i in before}, {i.id: i for i in after}
    gone = [i for i in before if i.id not in new]
    come = [i for i in after if i.id not in old]
    changed = [(old[i.id], i) for i in after if i.id in old and old[i.id] != i]
    count = len(gone) + len(come) + len(changed)
    if count == 0:
        moved = [i.id for i in before] != [i.id for i in after]
        return "order of the interventions changed" if moved else ""
    if not after and len(gone) > 1:
        return "all interventions removed"
    if count > 1:
        return f"{count} interventions changed"
    if gone:
        return undone(gone[0]) if gone[0].on else f"{gone[0].describe()} removed"
    if come:
        return done(come[0]) if come[0].on else f"{come[0].describe()} added, switched off"
    was, now = changed[0]
    if was.on != now.on:
        return done(now) if now.on else undone(now)
    if was.key == now.key:
        return f"{place(now)} named {now.label}" if now.label else f"{place(now)} without a name"
    return done(now)
