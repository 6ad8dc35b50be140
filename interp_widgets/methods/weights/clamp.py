"""Testing a neuron's reading: clamp it and watch the token's probability."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.mlp_parts import MlpParts
from interp_widgets.methods.weights.space import Space, some_prompt
from interp_widgets.results.array import ArrayResult
from interp_widgets.session.interventions import Clamp, Intervention
from interp_widgets.session.prompts import Prompt
from interp_widgets.session.session import Session
from interp_widgets.session.sites import Site

Place = Literal["up", "mlp_post"]
VALUES = (-20.0, -15.0, -10.0, -5.0, 0.0, 5.0, 10.0, 15.0, 20.0)


def clamp_target(
    session: Session, layer: int, unit: int, site: Place | None = None
) -> dict[str, Any]:
    """Return site, layer and unit of the intervention that clamps a neuron.

    Parameters
    ----------
    site
        ``"up"``: what the up projection returns, so that the gate still decides; ``"mlp_post"``:
        what the down projection gets. None: ``"up"`` for a gated MLP, else ``"mlp_post"``.

    Raises
    ------
    ValueError
        When layer or neuron is not there.
    """
    parts = MlpParts.of(session, some_prompt(session))
    if not 0 <= layer < len(parts):
        raise ValueError(f"there is no layer {layer}; there are 0 to {len(parts) - 1}")
    mlp = parts[layer]
    width = len(mlp.rows("up"))
    if not 0 <= unit < width:
        raise ValueError(f"layer {layer} has no neuron {unit}; it has 0 to {width - 1}")
    if (site or ("up" if mlp.gate is not None else "mlp_post")) == "mlp_post":
        return {"site": "mlp_post", "layer": layer, "unit": unit}
    shifted = mlp.gate == mlp.up and mlp.gate_first
    return {"site": mlp.up, "unit": unit + (width if shifted else 0)}


def clamp(
    session: Session, layer: int, unit: int, value: float, site: Place | None = None
) -> Intervention:
    """Set a neuron to a constant at every position, until the intervention is removed.

    In a gated MLP what the neuron writes is gate × value: where the gate is near zero the clamp
    does nothing, and where it is negative it does the opposite.

    Parameters
    ----------
    session
        Whose interventions it joins; all open views follow.
    layer, unit
        The neuron.
    value
        The constant.
    site
        As in :func:`clamp_target`.

    Examples
    --------
    >>> iw.weights.clamp(session, 3, 17, 10.0)
    >>> session.undo()
    """
    return session.interventions.add(
        Clamp(value=value, label=f"L{layer}N{unit}", **clamp_target(session, layer, unit, site))
    )


@method(
    "clamp_curve",
    result="array",
    family="weights",
    unit="MLP neuron",
    cost="2 forward passes for each value",
    paper="arXiv:2501.02688",
    tags="mechanistic, interventional, local, verification, neuron",
)
def clamp_curve(
    run: Run,
    prompt: Prompt,
    layer: int,
    unit: int,
    *,
    values: Sequence[float] = VALUES,
    scale: Literal["sd", "absolute"] = "sd",
    token: str | int | None = None,
    site: Place | None = None,
    seed: int = 0,  # noqa: ARG001 - run.generator() draws with it
) -> ArrayResult:
    """Measure a token's probability at the next position while a neuron is clamped.

    Parameters
    ----------
    prompt
        Read with the session's interventions; the clamp comes on top, at every position.
    layer, unit
        The neuron.
    values
        Constants; 0 takes the neuron out.
    scale
        ``"sd"`` (default): in standard deviations of the neuron's own activation over the prompt;
        ``"absolute"``: as they are.
    token
        Text or id; None takes the top token of the neuron's up row.
    site
        As in :func:`clamp_target`.
    seed
        Draws the control, another neuron of the layer, which is clamped to the same constants.

    Returns
    -------
    ArrayResult
        Probabilities ``[neuron, clamp]``: the neuron and the control. ``meta["base"]`` is the
        probability without a clamp, ``meta["gate"]`` the gate at the last position (None without
        one), ``meta["sd"]`` the unit.

    Raises
    ------
    ValueError
        When layer, neuron or token is not there.

    Examples
    --------
    >>> iw.weights.clamp_curve(prompt, 3, 17)
    """
    session = run.session
    target = clamp_target(session, layer, unit, site)
    token_id = _token(session, layer, unit, token)
    mlp = MlpParts.of(session, some_prompt(session))[layer]
    width = len(mlp.rows("up"))
    other = int(torch.randint(width - 1, (1,), generator=run.generator()))
    other += other >= unit
    before = activation(session, prompt, target)
    sd = float(before.std()) if len(before) > 1 and float(before.std()) > 0 else 1.0
    step = sd if scale == "sd" else 1.0
    kept = list(session.interventions.active)
    control = clamp_target(session, layer, other, site)
    variants: list[list[Any]] = [kept]
    variants += [[*kept, Clamp(value=v * step, **t)] for t in (target, control) for v in values]
    found = _probabilities(session, prompt, variants, token_id)
    run.progress(1, 1)
    names = [f"L{layer}N{unit}", f"L{layer}N{other} (random)"]
    text = session.token_string(token_id)
    return ArrayResult(
        {"values": found[1:].view(2, len(values))},
        {
            "dims": ["neuron", "clamp"],
            "labels": {"neuron": names, "clamp": [f"{v:g}" for v in values]},
            "quantity": f"probability of {text!r}",
            "title": f"{names[0]} clamped" + (", in sd of its activation" if scale == "sd" else ""),
            "draw": "lines",
            "signed": False,
            "base": float(found[0]),
            "sd": sd,
            "gate": gate_value(session, prompt, layer, unit),
        },
    )


@method(
    "clamp_test",
    result="array",
    family="weights",
    unit="MLP neuron",
    cost="4 forward passes for each neuron and prompt",
    paper="arXiv:2501.02688",
    tags="mechanistic, interventional, global, verification, neuron",
)
def clamp_test(
    run: Run,
    prompts: Sequence[Prompt],
    neurons: Sequence[Sequence[int]],
    *,
    value: float = 10.0,
    site: Place | None = None,
    seed: int = 0,  # noqa: ARG001 - run.generator() draws with it
) -> ArrayResult:
    """Measure how much clamping neurons multiplies the probability of their own top tokens.

    Parameters
    ----------
    prompts
        Of one session; probabilities are averaged over them before they are divided.
    neurons
        Pairs of layer and neuron.
    value
        The constant of the clamp.
    site
        As in :func:`clamp_target`.
    seed
        Draws each neuron's control from the same layer.

    Returns
    -------
    ArrayResult
        ``[neuron, measure]``: probability before, and by which factor it changes when the neuron
        is clamped, set to the negative value, set to zero, and when the control is clamped.

    Examples
    --------
    >>> iw.weights.clamp_test([prompt], [(3, 17), (3, 40)]).frame()
    """
    session = run.session
    kept = list(session.interventions.active)
    mlps = MlpParts.of(session, some_prompt(session))
    draw = run.generator()
    rows = []
    for i, (layer, unit) in enumerate(neurons):
        run.progress(i, len(neurons))
        target = clamp_target(session, layer, unit, site)
        width = len(mlps[layer].rows("up"))
        other = int(torch.randint(width - 1, (1,), generator=draw))
        control = clamp_target(session, layer, other + (other >= unit), site)
        clamps = [(value, target), (-value, target), (0.0, target), (value, control)]
        variants = [kept, *([*kept, Clamp(value=v, **t)] for v, t in clamps)]
        token = _token(session, layer, unit, None)
        found = torch.stack([_probabilities(session, p, variants, token) for p in prompts]).mean(0)
        rows.append([float(found[0]), *(float(x / found[0]) for x in found[1:])])
    measures = ["before", f"× at {value:g}", f"× at {-value:g}", "× at 0", "× control"]
    return ArrayResult(
        {"values": torch.tensor(rows)},
        {
            "dims": ["neuron", "measure"],
            "labels": {
                "neuron": [f"L{layer}N{unit}" for layer, unit in neurons],
                "measure": measures,
            },
            "quantity": "probability, then factors",
            "title": "clamping neurons",
            "signed": False,
        },
    )


def activation(session: Session, prompt: Prompt, target: dict[str, Any]) -> Tensor:
    """Return what the session's model has where a clamp would go ``[position]``."""
    site = Site(target["site"], target.get("layer"))
    return session.capture(prompt, [site])[site].reshape(len(prompt), -1)[:, target["unit"]].float()


def gate_value(session: Session, prompt: Prompt, layer: int, unit: int) -> float | None:
    """Return the activated gate at the last position; None for a plain MLP."""
    mlp = MlpParts.of(session, some_prompt(session))[layer]
    if mlp.gate is None:
        return None
    site = Site(mlp.gate)
    both = session.capture(prompt, [site])[site].reshape(len(prompt), -1)
    width = len(mlp.rows("up"))
    first = 0 if mlp.gate != mlp.up or mlp.gate_first else width
    return float(mlp.act(both[-1, first + unit].float()))


def _token(session: Session, layer: int, unit: int, token: str | int | None) -> int:
    if token is not None:
        return session.token_id(token)
    mlp = MlpParts.of(session, some_prompt(session))[layer]
    top = Space.of(session).top(mlp.rows("up")[unit][None], 1, signs=(1,))
    return int(top.ids[0, 0, 0])


def _probabilities(
    session: Session, prompt: Prompt, variants: list[list[Any]], token: int
) -> Tensor:
    logits: Tensor = session.run_variants(prompt, variants)
    return logits.float().softmax(-1)[:, token]
