"""Interventions do what they say: compared with hooks, for every kind at every site of five families."""

from __future__ import annotations

import json

import pytest
import torch

from interp_widgets.session.errors import InterventionError
from interp_widgets.session.interventions import Ablate, Clamp, Interventions, Patch, Scale, Steer, from_json
from tests.session.cases import CASES, IDS, KINDS, OTHER, case, inputs, reference, session


@pytest.mark.parametrize(("family", "site"), CASES)
def test_every_kind_at_a_site_gives_the_logits_of_plain_hooks(family, site):
    live, hooks = session(family), reference(family)
    prompt = live.prompt(IDS)
    clean = hooks.logits(inputs(IDS))
    assert torch.allclose(live.capture(prompt, "logits", "none")["logits"], clean[0], atol=1e-4)
    moved = 0
    for kind in KINDS:
        found = case(family, site, kind)
        if found is None:
            continue
        expected = hooks.logits(inputs(IDS), (site, found.item.layer, found.edit))[0]
        got = live.run_with(prompt, [found.item])["logits"]
        assert torch.allclose(got, expected, atol=1e-4), (kind, (got - expected).abs().max())
        moved += bool((got - clean[0]).abs().max() > 1e-3)
        again = from_json(json.loads(json.dumps(found.item.to_json())))
        assert again == found.item
        assert again.key == found.item.key
    assert moved >= 4
