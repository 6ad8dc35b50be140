"""Interventions do what they say: compared with hooks, for every kind at every site of five families."""

from __future__ import annotations

import json

import pytest
import torch

from interp_widgets.session.errors import InterventionError
from interp_widgets.session.intervention_list import MOST_STEPS, Interventions
from interp_widgets.session.interventions import (
    Ablate,
    Clamp,
    Patch,
    Scale,
    Steer,
    from_json,
)
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


@pytest.fixture
def live():
    made = session("llama")
    made.reset()
    yield made
    made.reset()


def test_two_changes_of_one_place_apply_in_list_order(live):
    prompt = live.prompt(IDS)
    first = live.scale("resid_post", 3.0, layer=1, position=2)
    live.clamp("resid_post", 1.0, layer=1, position=2)
    clamped = live.capture(prompt, "resid_post.1")["resid_post.1"]
    assert torch.equal(clamped[2], torch.ones_like(clamped[2]))
    live.interventions.move(first, 1)
    assert torch.equal(live.capture(prompt, "resid_post.1")["resid_post.1"][2], 3 * clamped[2])


@pytest.mark.parametrize("site", ["resid_post", "z"])
def test_a_new_order_runs_as_hooks_in_that_order(live, site):
    """Scale, steer and clamp of one place do not commute: every order has logits of its own."""
    width = 40 if site == "resid_post" else 8
    where = {"layer": 1, "head": None if site == "resid_post" else 2, "position": 3}
    direction = torch.linspace(-1, 1, width)
    items = [
        live.scale(site, -1.5, **where),
        live.steer(site, direction, 2.0, **where),
        live.clamp(site, 0.25, unit=[0, 3], **where),
    ]
    change = {
        items[0].id: lambda x: x * -1.5,
        items[1].id: lambda x: x + 2 * direction,
        items[2].id: lambda x: torch.cat(
            [x.new_tensor([0.25]), x[1:3], x.new_tensor([0.25]), x[4:]]
        ),
    }
    seen = []
    prompt = live.prompt(IDS)
    for to in (0, 2, 1, 0):
        live.interventions.move(2, to)
        order = [change[i.id] for i in live.interventions]

        def edit(tensor, order=order):
            tensor = tensor.clone()
            part = (0, 3) if site == "resid_post" else (0, 3, 2)
            value = tensor[part]
            for one in order:
                value = one(value)
            tensor[part] = value
            return tensor

        expected = reference("llama").logits(inputs(IDS), (site, 1, edit))[0]
        got = live.capture(prompt, "logits")["logits"]
        assert torch.allclose(got, expected, atol=1e-4)
        seen.append(got)
    assert all((a - b).abs().max() > 1e-3 for a, b in zip(seen, seen[2:], strict=False))


def test_a_pattern_is_made_from_changed_q_k_and_mixed_with_changed_v(live):
    prompt, hooks = live.prompt(IDS), reference("llama")
    live.ablate("pattern", layer=1, head=2)
    live.scale("v", -2.0, layer=1, head=1)
    live.scale("q", 0.5, layer=1)

    def no_head(x):
        x = x.clone()
        x[:, 2] = 0
        return x

    def flip(x):
        x = x.clone()
        x[:, 1] *= -2
        return x

    expected = hooks.logits(
        inputs(IDS), ("q", 1, lambda x: 0.5 * x), ("v", 1, flip), ("pattern", 1, no_head)
    )[0]
    got = live.capture(prompt, ["logits", "pattern.1"])
    assert torch.allclose(got["logits"], expected, atol=1e-4)
    assert got["pattern.1"][2].abs().max() == 0
    assert torch.allclose(got["pattern.1"][3].sum(-1), torch.ones(7), atol=1e-5)


def test_a_padded_batch_gives_each_prompt_what_it_gets_alone(live):
    prompts = [live.prompt(ids) for ids in (IDS, OTHER[:4], [9, 8, 7, 6, 5])]
    live.ablate("z", layer=1, method="mean", position=[-1, 0])
    live.ablate("resid_post", layer=0, head=None, unit=[3, 7], position=-2)
    live.ablate("pattern", layer=2, head=1, position=-1)
    together = live.capture(live.prompts(prompts), ["logits", "resid_post"])
    for row, prompt in enumerate(prompts):
        alone = live.capture(prompt, ["logits", "resid_post"])
        for site in alone:
            assert torch.allclose(together[site][row, : len(prompt)], alone[site], atol=1e-4), site


def test_a_mean_over_positions_leaves_padding_out(live):
    batch = live.prompts([IDS, OTHER[:3]])
    live.ablate("mlp_out", layer=1, method="mean")
    clean = live.capture(live.prompt(OTHER[:3]), "mlp_out.1", "none")["mlp_out.1"]
    got = live.capture(batch, "mlp_out.1")["mlp_out.1"][1, :3]
    assert torch.allclose(got, clean.mean(0).expand(3, -1), atol=1e-5)


def test_a_users_trace_sees_the_interventions_and_may_add_to_them(live):
    prompt = live.prompt(IDS)
    live.clamp("attn_out", 0.25, layer=1)
    with live.trace(prompt):
        seen = live.model.model.layers[1].self_attn.o_proj.output.save()
        live.model.model.layers[2].output = live.model.model.layers[2].output * 0
        logits = live.model.output.logits.save()
    assert torch.equal(seen, torch.full_like(seen, 0.25))
    live.ablate("resid_post", layer=2)
    assert torch.allclose(logits[0], live.capture(prompt, "logits")["logits"], atol=1e-5)


def test_a_plain_trace_of_the_model_is_not_changed(live):
    prompt = live.prompt(IDS)
    live.ablate("resid_post", layer=0)
    with torch.no_grad(), live.model.trace(input_ids=torch.tensor([IDS])):
        logits = live.model.output.logits.save()
    assert torch.allclose(logits[0], live.capture(prompt, "logits", "none")["logits"], atol=1e-5)


# -- the list --------------------------------------------------------------------


def test_descriptions_say_what_is_done(live):
    assert live.ablate("z", layer=1, head=3).describe() == "ablate z 1.3 (zero)"
    assert (
        live.scale("resid_post", 0.5, layer=2, position=[1, 2, 3, 6]).describe()
        == "scale resid_post 2 @ 1–3,6 (× 0.5)"
    )
    assert live.clamp("mlp_post", 2, layer=0, unit=7).describe() == "clamp mlp_post 0 [7] (= 2)"
    assert "from" in live.patch("logits", live.prompt(IDS), position=-1).describe()
    assert (
        live.steer("resid_mid", torch.ones(40), 2, layer=1)
        .describe()
        .endswith("(+ 2 × direction of norm 6.32)")
    )
    assert repr(live.interventions).startswith("0 ● ablate z 1.3 (zero)\n1 ●")
    assert list(live.interventions.frame()["kind"]) == [
        "ablate",
        "scale",
        "clamp",
        "patch",
        "steer",
    ]


def test_undo_and_redo_walk_through_every_kind_of_change(live):
    heads = [live.ablate("z", layer=1, head=h) for h in range(3)]
    live.interventions.switch(0)
    live.interventions.move(0, 2)
    live.interventions.remove(heads[1])
    assert live.interventions.describe() == ["ablate z 1.2 (zero)", "ablate z 1.0 (zero)"]
    assert [i.on for i in live.interventions] == [True, False]
    live.reset()
    assert len(live.interventions) == 0
    states = []
    while live.undo():
        states.append(len(live.interventions))
    assert states[:7] == [2, 3, 3, 3, 2, 1, 0]
    while live.redo():
        pass
    assert len(live.interventions) == 0
    live.undo()
    live.ablate("z", layer=0, head=0)
    assert not live.interventions.can_redo


def test_a_click_on_a_head_adds_it_and_the_next_click_takes_it_back(live):
    spec = {"kind": "ablate", "site": "z", "layer": 1, "head": 2}
    added = live.toggle(spec)
    assert [i.target for i in live.interventions] == [added.target]
    assert live.toggle({**spec, "method": "mean"}) is None
    assert len(live.interventions) == 0
    live.undo()
    assert len(live.interventions) == 1


def test_the_list_survives_json(live):
    live.ablate(
        "z", layer=1, head=[0, 2], method="resample", reference=[live.prompt(OTHER)], seed=3
    )
    live.patch("resid_post", live.prompt(OTHER, answer=5), layer=0, position=-1)
    live.steer("v", [0.5] * 8, layer=2, head=1, strength=-1)
    live.interventions.switch(1, on=False)
    before, key = live.capture(live.prompt(IDS), "logits")["logits"], live.interventions.key
    text = json.dumps(live.interventions.to_json())
    live.reset()
    live.interventions.load(json.loads(text))
    assert live.interventions.key == key
    assert [i.on for i in live.interventions] == [True, False, True]
    assert torch.equal(live.capture(live.prompt(IDS), "logits")["logits"], before)


def test_the_list_survives_a_file(live, tmp_path):
    live.scale("mlp_out", 0.5, layer=1, label="half of it")
    path = live.interventions.save(tmp_path / "done.json")
    saved = live.interventions.to_json()
    live.reset()
    live.interventions.load(path)
    assert live.interventions.to_json() == saved
    assert live.interventions[0].label == "half of it"
    path.write_text('{"kind": "ablate"}')
    with pytest.raises(InterventionError, match="no list of interventions"):
        live.interventions.load(path)
    path.write_text("[")
    with pytest.raises(InterventionError, match="not JSON"):
        live.interventions.load(str(path))
    assert live.interventions.to_json() == saved


def test_undo_goes_back_a_thousand_changes_and_forgets_older_ones(live):
    for _ in range(MOST_STEPS + 5):
        live.toggle({"kind": "ablate", "site": "z", "layer": 0, "head": [1]})
    steps = 0
    while live.undo():
        steps += 1
    assert steps == MOST_STEPS


def test_a_slide_is_one_step_of_undo_and_a_name_changes_nothing(live, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("interp_widgets.session.intervention_list.time.monotonic", lambda: clock[0])
    item = live.scale("mlp_out", 1.0, layer=1)
    for factor in (0.8, 0.5, 0.2):
        clock[0] += 0.1
        live.interventions.change(item, factor=factor)
    clock[0] += 5
    live.interventions.change(0, factor=0.1)
    key = live.interventions.key
    live.interventions.change(0, label="MLP 1")
    assert live.interventions.key == key
    assert live.interventions[0].id == item.id
    assert live.interventions.said == "mlp_out 1 named MLP 1"
    found = []
    for _ in range(4):
        live.undo()
        found.append([i.factor for i in live.interventions])
    assert found == [[0.1], [0.2], [1.0], []]
    live.scale("mlp_out", 1.0, layer=1)
    live.interventions.change(0, label="x\r\nimport os\u2028 y")
    assert live.interventions[0].label == "x import os y"
    assert "\nimport os" not in live.code(live.prompt(IDS))
    with pytest.raises(InterventionError, match="finite"):
        live.interventions.change(live.scale("z", 1, layer=0), factor=float("nan"))
    with pytest.raises(InterventionError, match="no such setting"):
        live.interventions.change(-1, colour="red")


def test_changes_are_said_in_words(live):
    said = lambda: live.interventions.said  # noqa: E731
    head = live.ablate("z", layer=1, head=3)
    assert said() == "head 1.3 ablated"
    live.interventions.switch(head)
    assert said() == "head 1.3 restored"
    live.undo()
    assert said() == "head 1.3 ablated"
    steer = live.steer("resid_post", torch.ones(40), 2, layer=1, label="woman")
    assert said() == "resid_post 1 steered along woman, strength 2"
    live.interventions.move(steer, 0)
    assert said() == "order of the interventions changed"
    live.interventions.remove(steer)
    assert said() == "resid_post 1 no longer steered along woman"
    live.scale("q", 0.5, layer=0, head=1, position=-1)
    assert said() == "q 0.1 @ -1 scaled by 0.5"
    live.reset()
    assert said() == "all interventions removed"
    live.undo()
    assert said() == "2 interventions changed"


def test_the_metric_follows_the_last_prompt_with_answer_and_foil(live):
    prompt = live.prompt(IDS, answer=5, foil=9)
    live.prompt(OTHER)
    live.prompt({**live.prompt(OTHER).to_json(), "answer": 1, "foil": 2})  # read from a recipe
    assert live.metric.prompt == prompt

    def difference():
        logits = live.capture(prompt, "logits")["logits"][-1]
        return float(logits[5] - logits[9])

    base = difference()
    assert live.metric.read().text() == f"logit difference {base:.2f}"
    live.ablate("z", layer=1, head=3)
    first = difference()
    reading = live.metric.read()
    assert (reading.base, reading.before, reading.now) == pytest.approx((base, base, first))
    assert reading.text() == f"logit difference {base:.2f} to {first:.2f}"
    live.ablate("mlp_out", layer=2)
    reading = live.metric.read()
    assert (reading.base, reading.before, reading.now) == pytest.approx((base, first, difference()))
    heard = []
    live.metric.ask(heard.append)
    live.run(lambda: None)
    assert [r.now for r in heard] == [reading.now]
    with pytest.raises(ValueError, match="an answer and a foil"):
        live.metric.prompt = live.prompt(OTHER)


def test_a_listener_hears_of_each_change_once(live):
    heard = []
    stop = live.listen(heard.append)
    live.ablate("z", layer=1, head=2)
    live.undo()
    live.undo() if live.interventions.can_undo else None
    stop()
    live.redo()
    assert heard[:2] == ["interventions", "interventions"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda s: s.ablate("z", layer=3), "0 to 2"),
        (lambda s: s.ablate("z", layer=-1), "0 to 2"),
        (lambda s: s.ablate("z"), "needs a layer"),
        (lambda s: s.ablate("z", layer=1, head=4), "heads are 0 to 3"),
        (lambda s: s.ablate("k", layer=1, head=2), "heads are 0 to 1"),
        (lambda s: s.ablate("resid_post", layer=1, head=0), "has no heads"),
        (lambda s: s.ablate("resid_post", layer=1, unit=40), "units are 0 to 39"),
        (lambda s: s.ablate("nowhere", layer=1), "nowhere"),
        (lambda s: s.ablate("logits", layer=1), "layer"),
        (lambda s: s.ablate("z", layer=1, head=[]), "empty list"),
        (lambda s: s.ablate("z", layer=1, head=[1, 1]), "twice"),
        (lambda s: s.ablate("z", layer=1, head="a"), "number"),
        (lambda s: s.ablate("z", layer=1, position=64), "at most 64"),
        (lambda s: s.ablate("z", layer=1, method="median"), "no ablation"),
        (lambda s: s.ablate("z", layer=1, method="resample"), "reference"),
        (lambda s: s.ablate("pattern", layer=1, method="mean"), "reference"),
        (lambda s: s.scale("z", float("nan"), layer=1), "finite"),
        (lambda s: s.scale("z", "much", layer=1), "number"),
        (lambda s: s.clamp("z", float("inf"), layer=1), "finite"),
        (lambda s: s.steer("resid_post", [1.0] * 39, layer=1), "39 numbers"),
        (lambda s: s.steer("resid_post", [float("nan")] * 40, layer=1), "finite"),
        (lambda s: s.steer("resid_post", [], layer=1), "direction"),
        (lambda s: s.steer("resid_post", [[1.0]], layer=1), "dimension"),
        (lambda s: s.patch("z", "text", layer=1), "prompt"),
        (lambda s: s.patch("z", s.prompt(IDS), layer=1, source_position=[1]), "position"),
        (lambda s: s.toggle({"kind": "explode", "site": "z"}), "no intervention 'explode'"),
        (lambda s: s.toggle({"kind": "ablate", "site": "z", "layer": 1, "code": "x"}), "no code"),
        (lambda s: s.toggle({"kind": "scale", "site": "z", "layer": 1}), "incomplete"),
        (lambda s: s.interventions.remove(7), "no intervention 7"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_way_on_and_changes_nothing(live, make, message):
    kept = live.ablate("z", layer=0, head=0)
    with pytest.raises(InterventionError, match=message):
        make(live)
    assert list(live.interventions) == [kept]


def test_a_position_that_a_prompt_lacks_is_an_error_there_and_nowhere_else(live):
    live.ablate("z", layer=1, position=6)
    with pytest.raises(InterventionError, match="no position 6 in a prompt of 4 tokens"):
        live.capture(live.prompt(OTHER[:4]), "logits")
    assert live.capture(live.prompt(IDS), "logits")["logits"].shape == (7, 61)


def test_a_patch_from_a_prompt_of_another_length_says_how_to_align(live):
    live.patch("resid_post", live.prompt(OTHER[:5]), layer=1)
    with pytest.raises(InterventionError, match="source_position"):
        live.capture(live.prompt(IDS), "logits")
    live.reset()
    live.patch("pattern", live.prompt(OTHER[:5]), layer=1, position=0)
    with pytest.raises(InterventionError, match="same length"):
        live.capture(live.prompt(IDS), "logits")


def test_a_module_path_can_be_changed_too(live):
    prompt = live.prompt(IDS)
    live.ablate("model.layers.1.mlp.gate_proj")
    gate = live.capture(prompt, ["model.layers.1.mlp.gate_proj", "mlp_out.1"])
    assert gate["model.layers.1.mlp.gate_proj"].abs().max() == 0
    assert gate["mlp_out.1"].abs().max() == 0


def test_interventions_stand_alone_as_data():
    items = Interventions()
    items.add(Ablate(site="z", layer=1, head=0))
    items.add({"kind": "clamp", "site": "mlp_post", "layer": 0, "value": 1})
    assert items[0] == Ablate(site="z", layer=1, head=(0,))
    assert hash(items[0]) == hash(Ablate(site="z", layer=1, head=0))
    assert items.key == (items[0].key, items[1].key)
    assert {type(i) for i in items} == {Ablate, Clamp}
    assert Patch(site="z", layer=0, source={"ids": [1]}) != Patch(
        site="z", layer=0, source={"ids": [2]}
    )
    assert Scale(site="z", layer=0, factor=2).key != Steer(site="z", layer=0, direction=[2.0]).key
