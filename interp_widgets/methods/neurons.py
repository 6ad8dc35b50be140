"""What every MLP neuron does on every token."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from interp_widgets.methods.catalogue import Run, method
from interp_widgets.results.tokens import TokensResult
from interp_widgets.session.prompts import Prompt
from interp_widgets.session.sites import Site


@method(
    "neurons",
    result="tokens",
    family="activations",
    unit="MLP neuron",
    cost="1 forward pass",
    tags="mechanistic, observational, local, hypothesis generation, neuron",
)
def neurons(run: Run, prompt: Prompt, *, layers: Sequence[int] | None = None) -> TokensResult:
    """Read the activation of every MLP neuron on every token.

    The view lists the neurons that are largest on the prompt, or on the selected token, and colours
    the text by the one that is chosen. They are sorted where they are: only what is looked at
    travels to the browser.

    Parameters
    ----------
    prompt
        Read with the session's interventions.
    layers
        Layers to read; default all.

    Returns
    -------
    TokensResult
        ``values [neuron, position]``: the input of the MLP's down projection, after the activation
        function and, in gated MLPs, after the gate. Channels are named ``L<layer>N<neuron>``.

    Raises
    ------
    SiteError
        When the model has no MLP neurons, as in mixtures of experts.
    ValueError
        When a layer is not there.

    Examples
    --------
    >>> iw.neurons(prompt).top(by="token", token=9, n=5)
    """
    count = run.session.anatomy.n_layers
    chosen = range(count) if layers is None else layers
    wrong = [i for i in chosen if not 0 <= i < count]
    if wrong or not len(chosen):
        raise ValueError(f"layers={list(chosen)}: give at least one of 0 to {count - 1}")
    sites = [Site("mlp_post", i) for i in chosen]
    values = run.session.capture(prompt, sites)
    found = [values[site] for site in sites]
    return TokensResult(
        {"values": torch.cat([v.to(found[0].device).T for v in found]).contiguous()},
        {
            "tokens": list(prompt.tokens),
            "channels": [
                f"L{layer}N{unit}"
                for layer, v in zip(chosen, found, strict=True)
                for unit in range(v.shape[-1])
            ],
            "channel_name": "Neuron",
            "quantity": "activation",
            "title": "Neurons",
        },
    )
