"""Scores of heads and losses over checkpoints; where they change, and whether together."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import interp_widgets as iw
from interp_widgets.methods.hypotheses.emergence import QUANTITIES, coincidence
from interp_widgets.methods.hypotheses.motifs import SCORES
from interp_widgets.session.session import Session
from tests.methods import emergence_toy
from tests.methods.conftest import open_session
from tests.methods.test_hypotheses import only

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
def trained(tmp_path_factory):
    """Real checkpoints: 2 attention layers of 4 heads that learned to repeat random blocks."""
    steps, files = emergence_toy.checkpoints(tmp_path_factory.mktemp("trained"))
    return Session(emergence_toy.empty().eval(), name="copier"), steps, files


def at(session, file):
    """Open a session on a checkpoint of the model."""
    model = copy.deepcopy(session.anatomy.root)
    model.load_state_dict(load_file(file), strict=False)
    return Session(model.eval())


def test_induction_heads_emerge_in_training_with_the_fall_of_the_loss(trained):
    session, steps, files = trained
    result = H.emergence(session, files, steps=steps)
    score = dict(zip(QUANTITIES, result.numpy("values"), strict=True))
    heads = dict(zip(SCORES, result.numpy("heads"), strict=True))
    assert score["induction"][0] <= 0.2
    assert score["induction"][-1] >= 0.7
    assert score["previous_token"][0] <= 0.2
    assert score["previous_token"][-1] >= 0.6
    assert heads["induction"][-1][1].max() == pytest.approx(score["induction"][-1])
    assert heads["previous_token"][-1][0].max() == pytest.approx(score["previous_token"][-1])
    assert heads["induction"][:, 0].max() < 0.3  # the first layer has no earlier head to read
    changes = result.meta["changes"]
    assert abs(changes["induction_turns"] - changes["loss_falls"]) <= 2
    assert abs(changes["induction_rises"] - changes["loss_falls"]) <= 2
    together = only(result, "correlation")
    assert together["value"] > 0.7
    assert together["p"] < 0.05
    chance = np.log(emergence_toy.VOCABULARY)
    assert score["loss, repeat"][0] > 0.9 * chance
    assert score["loss, repeat"][-1] < 0.15 * chance
    assert score["loss, first copy"].min() > 0.9 * chance  # random tokens cannot be learned


def test_the_emerged_heads_copy_from_any_distance_and_carry_the_repeat(trained):
    """Blocks of 6 are shorter than any in training: a copy from a fixed distance would fail."""
    session, _, files = trained
    first, last = at(session, files[0]), at(session, files[-1])
    found, before = (H.motifs(s, lengths=[6, 11, 18]) for s in (last, first))
    assert only(found, "induction score of the best head")["p"] < 0.05
    assert only(found, "induction at the worst length")["value"] >= 0.6
    assert only(before, "induction at the worst length")["value"] < 0.2
    previous = found.numpy("values")[found.labels("score").index("previous_token")]
    assert previous.argmax() < 4  # of layer 0
    block = torch.randperm(48, generator=torch.Generator().manual_seed(3))[:13].tolist()
    prompt = last.prompt(block * 2)

    def loss(layer: int, *heads: int) -> float:
        """Loss of the repeat without these heads."""
        try:
            for head in heads:
                last.ablate("z", layer=layer, head=head)
            logits = last.capture(prompt, "logits")["logits"][13:-1]
        finally:
            last.reset()
        return float(torch.nn.functional.cross_entropy(logits, torch.tensor(block[1:])))

    best = int(previous.argmax())
    assert loss(0) < 0.2
    assert loss(0, best) > 2
    assert loss(0, *(h for h in range(4) if h != best)) < 0.2  # as long as the best one is there
    assert loss(1, *range(4)) > 2


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


def test_a_report_draws_the_time_line(trained):
    session, steps, files = trained
    options = {"H6": {"steps": steps, "draws": 20}}
    report = H.run(session, ["H6"], checkpoints=files, options=options)
    figure = report.figure("neurips")
    assert figure.png().startswith(b"\x89PNG")
    assert "over training" in figure.caption
    assert set(report.frame().hypothesis) == {"H6"}
    lines = [
        x.get_ydata() for axes in figure.mpl.axes for x in axes.lines if len(x.get_ydata()) == 14
    ]
    assert any(y[0] < 0.2 and y[-1] > 0.7 for y in lines)  # induction
    assert any(y[0] > 3.4 and y[-1] < 0.6 for y in lines)  # loss of the repeat


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
