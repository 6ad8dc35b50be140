"""Scores of heads and losses over checkpoints; where they change, and whether together."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import interp_widgets as iw
from interp_widgets.methods.hypotheses.emergence import QUANTITIES, coincidence
from tests.methods.conftest import open_session

H = iw.hypotheses
LOSS, SCORE = QUANTITIES.index("loss, repeat"), QUANTITIES.index("induction")


def curves(score_at: float, loss_at: float, count: int = 24) -> np.ndarray:
    """Curves of training in which the score rises and the loss falls at planted checkpoints."""
    at = np.arange(count)
    values = np.zeros((len(QUANTITIES), count))
    values[LOSS] = 3.4 - 3 / (1 + np.exp(-(at - loss_at) / 0.6))
    values[SCORE] = 0.05 + 0.9 / (1 + np.exp(-(at - score_at) / 0.6))
    return values


def test_a_planted_coincidence_is_found_and_a_planted_gap_is_not_one():
    changes, found = coincidence(curves(12, 12), range(24), draws=199, seed=0)
    assert abs(changes["induction_turns"] - changes["loss_falls"]) <= 2
    assert abs(changes["loss_falls"] - 12) <= 1
    assert found[0]["value"] > 0.95
    assert found[0]["p"] <= 0.01
    changes, found = coincidence(curves(5, 17), range(24), draws=199, seed=0)
    assert abs(changes["induction_turns"] - changes["loss_falls"]) >= 9
    assert found[0]["value"] < 0.1
    assert found[1]["p"] > 0.05


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Five checkpoints of a random model, each less like the last one's."""
    folder = tmp_path_factory.mktemp("run")
    session = open_session("gpt2")
    files = []
    for i in range(5):
        noise = torch.Generator().manual_seed(i)
        state = {}
        for name, weight in copy.deepcopy(session.anatomy.root).state_dict().items():
            if name != "lm_head.weight":
                shift = (
                    torch.randn(weight.shape, generator=noise) if weight.is_floating_point() else 0
                )
                state[name] = (weight + 0.1 * (4 - i) * shift).contiguous()
        files.append(str(folder / f"step{i}.safetensors"))
        save_file(state, files[-1])
    return session, files


def test_the_last_checkpoint_scores_as_the_model_does_and_the_model_stays(run):
    session, files = run
    prompt = session.prompt([3, 4, 5, 3, 4, 5])
    before = session.capture(prompt, "logits")["logits"].clone()
    result = H.emergence(session, files, steps=[0, 10, 20, 30, 40], lengths=[6], batch=2, draws=50)
    own = H.emergence(session, files[-1:] * 5, lengths=[6], batch=2, draws=50)
    assert np.allclose(result.numpy("values")[:, -1], own.numpy("values")[:, 0], atol=1e-5)
    assert not np.allclose(result.numpy("values")[:, 0], result.numpy("values")[:, -1], atol=1e-2)
    assert result.arrays["heads"].shape == (3, 5, 3, 4)
    assert result.meta["labels"]["checkpoint"] == ["0", "10", "20", "30", "40"]
    session.cache.clear()
    assert torch.equal(before, session.capture(prompt, "logits")["logits"])


def test_a_report_draws_the_time_line(run):
    session, files = run
    options = {"H6": {"lengths": [6], "batch": 2, "draws": 20}}
    report = H.run(session, ["H6"], checkpoints=files, options=options)
    figure = report.figure("neurips")
    assert figure.png().startswith(b"\x89PNG")
    assert "over training" in figure.caption
    assert set(report.frame().hypothesis) == {"H6"}


def test_checkpoints_that_are_none_are_refused(run, tmp_path):
    session, files = run
    with pytest.raises(ValueError, match="3 checkpoints are too few"):
        H.emergence(session, files[:3])
    with pytest.raises(ValueError, match="ascending"):
        H.emergence(session, files, steps=[4, 3, 2, 1, 0])
    with pytest.raises(ValueError, match="there is no checkpoint"):
        H.emergence(session, [str(tmp_path / "none.safetensors")] * 5)
    save_file({"other": torch.ones(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="weights of another model"):
        H.emergence(session, [str(tmp_path / "other.safetensors")] * 5)
