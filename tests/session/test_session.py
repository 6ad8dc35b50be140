"""A session on every kind of model: opened, shown, listened to, run with variants, closed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from torch import nn

import interp_widgets as iw
from interp_widgets.results.live import LiveSession, OpenSession
from interp_widgets.session.errors import ModelError, SessionClosedError
from interp_widgets.session.interventions import Ablate, Patch
from interp_widgets.session.session import Session
from interp_widgets.session.sites import SiteError
from tests.families import FAMILIES, build, inputs
from tests.models import BYTES, tiny_gpt2
from tests.session.test_prompts import tokenizer

IDS = [3, 14, 15, 9, 26, 5, 35]
OTHER = [31, 4, 15, 52, 6, 7, 8]


@pytest.fixture(scope="module")
def live():
    return Session(build("gpt2"), name="tiny")


@pytest.fixture(autouse=True)
def _clean(live):
    yield
    live.reset()


# -- opening -----------------------------------------------------------------------


@pytest.mark.parametrize("family", list(FAMILIES))
def test_every_family_opens_captures_and_takes_an_intervention(family):
    live = Session(build(family), name=family)
    given = inputs(family)
    prompt = live.prompt(given["pixel_values"] if FAMILIES[family].image else given["input_ids"])
    last = f"resid_post.{live.anatomy.n_layers - 1}"
    clean = live.capture(prompt, last)[last]
    assert clean.shape[0] == len(prompt)
    live.scale("resid_post", 0.5, layer=0)
    assert (live.capture(prompt, last)[last] - clean).abs().max() > 1e-4
    assert live.model_info["name"] == family


def test_a_saved_folder_opens_by_its_path_and_says_nothing_of_it(tmp_path):
    folder = tmp_path / "models" / "tiny-gpt2"
    module = build("gpt2")
    module.save_pretrained(folder)
    live = Session(str(folder))
    prompt = live.prompt(IDS)
    with torch.no_grad():
        expected = module(torch.tensor([IDS])).logits[0]
    assert torch.allclose(live.capture(prompt, "logits")["logits"], expected, atol=1e-5)
    assert live.model_info["name"] == "tiny-gpt2"
    assert str(tmp_path) not in json.dumps(live.model_info) + repr(live)
    assert live.model_info["fingerprint"] == Session(module).model_info["fingerprint"]


def test_a_folder_with_a_tokenizer_reads_text(tmp_path):
    tiny_gpt2(**BYTES).save_pretrained(tmp_path)
    tokenizer("bytes").save_pretrained(tmp_path)
    live = Session(tmp_path, dtype="bfloat16")
    assert live.prompt("an John").tokens == ("an", " John")
    assert live.dtype == torch.bfloat16
    assert live.capture(live.prompt("an John"), "logits")["logits"].dtype == torch.bfloat16


def test_an_nnsight_model_is_taken_as_it_is():
    import nnsight

    model = nnsight.NNsight(build("llama"))
    live = Session(model)
    assert live.model is model


def test_a_transformers_wrapper_of_nnsight_brings_its_tokenizer_and_pads_as_we_do():
    from nnsight.modeling.transformers import TransformersModel

    words = tokenizer("bytes")
    words.pad_token = words.eos_token = "!"
    model = TransformersModel(tiny_gpt2(**BYTES), tokenizer=words)
    live = Session(model)
    batch = live.prompts(["an John", "ananan Mary"])
    together = live.capture(batch, "logits")["logits"]
    alone = live.capture(batch[0], "logits")["logits"]
    assert torch.allclose(together[0, : len(batch[0])], alone, atol=1e-5)


def test_interventions_travel_to_a_simulated_server(tmp_path):
    tiny_gpt2(**BYTES).save_pretrained(tmp_path)
    words = tokenizer("bytes")
    words.pad_token = words.eos_token = "!"
    words.save_pretrained(tmp_path)
    here, there = Session(tmp_path), Session(tmp_path, engine="ndif-simulated")
    for live in (here, there):
        live.ablate("pattern", layer=0, head=1)
        live.patch("resid_post", live.prompt("an Mary"), layer=0, position=1)
    expected = here.capture(here.prompt("an John"), "logits")["logits"]
    got = there.capture(there.prompt("an John"), "logits")["logits"]
    assert torch.allclose(got, expected, atol=1e-6)
    assert (
        expected - here.capture(here.prompt("an John"), "logits", "none")["logits"]
    ).abs().max() > 1e-4
    model = there.model
    with there.trace(there.prompt("an John")):
        logits = model.output.logits.save()
    assert torch.allclose(logits[0], expected, atol=1e-6)


def test_any_torch_module_can_be_looked_into():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))
    live = Session(module)
    prompt = live.prompt(torch.linspace(-1, 1, 5))
    got = live.capture(prompt, ["0", "2"])
    with torch.no_grad():
        assert torch.allclose(got["2"], module(torch.linspace(-1, 1, 5)))
    live.ablate("0", unit=[1, 2, 5])
    with torch.no_grad():
        hidden = module[0](torch.linspace(-1, 1, 5))
        hidden[[1, 2, 5]] = 0
        assert torch.allclose(live.capture(prompt, "2")["2"], module[2](hidden.relu()), atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Session(3), "not int"),
        (lambda: Session("/nowhere/at/all"), "cannot be loaded"),
        (lambda: Session(build("gpt2"), device="cuda:9"), "no device"),
        (lambda: Session(build("gpt2"), dtype="float99"), "no dtype"),
    ],
)
def test_what_cannot_be_opened_says_why(make, message):
    if message == "no device" and torch.cuda.is_available():
        pytest.skip("there may be such a device here")
    with pytest.raises(ModelError, match=message):
        make()


def test_weights_that_are_not_numbers_are_refused_by_name():
    module = build("gpt2")
    with torch.no_grad():
        module.transformer.h[1].mlp.c_fc.weight[3, 4] = float("nan")
    with pytest.raises(ModelError, match=r"transformer\.h\.1\.mlp\.c_fc\.weight"):
        Session(module)


# -- what it says --------------------------------------------------------------------


def test_the_repr_is_short_and_stable(live):
    assert repr(live) == "Session(tiny, 3 layers, cpu, float32)"
    live.ablate("z", layer=0)
    assert repr(live) == "Session(tiny, 3 layers, cpu, float32, 1 intervention)"


def test_it_is_what_views_expect(live):
    assert isinstance(live, LiveSession)
    assert isinstance(live, OpenSession)
    assert (
        "text/plain" in live._repr_mimebundle_()
        or "application/vnd.jupyter.widget-view+json" in str(live._repr_mimebundle_())
    )


def test_gradients_follow_the_interventions(live):
    prompt = live.prompt([3, 1, 4, 1, 5])
    live.ablate("z", layer=1, head=0)
    before = live.forward_passes
    found = live.gradients(prompt, lambda logits: logits[-1, 7], ["z", "resid_post.0"])
    assert live.forward_passes == before + 1
    logits = live.capture(prompt, "logits")["logits"]
    torch.testing.assert_close(found.metric, logits[-1, 7])
    assert not found.values["z.1"][:, 0].any()
    resid, grad = found.values["resid_post.0"], found.grads["resid_post.0"]
    step = 1e-2 * grad / grad.norm()
    ends = []
    for sign in (-1, 1):
        with live.trace(prompt):
            live.model.transformer.h[0].output[:] = (resid + sign * step)[None]
            ends.append(live.model.output.logits[0, -1, 7].save())
    torch.testing.assert_close((ends[1] - ends[0]) / 2, (grad * step).sum(), atol=1e-4, rtol=0.02)


def test_sites_are_checked_when_a_session_opens():
    module = build("gpt2")
    plain = type(module.transformer.h[1])

    class Doubled(plain):
        def forward(self, *args, **kwargs):
            out = super().forward(*args, **kwargs)
            return (2 * out[0], *out[1:]) if isinstance(out, tuple) else 2 * out

    with Session(build("gpt2")) as usual:
        assert usual.anatomy.problems == {}
    module.transformer.h[1].__class__ = Doubled
    with Session(module) as doubled:
        assert set(doubled.anatomy.problems) == {"resid_post.1"}
        assert "scales" in doubled.anatomy.problems["resid_post.1"]
        assert doubled.capture(doubled.prompt([1, 2]), "logits")


def test_a_fingerprint_changes_with_a_weight():
    one, two = build("gpt2"), build("gpt2")
    assert Session(one).model_info == Session(two).model_info
    with torch.no_grad():
        two.transformer.wte.weight.view(-1)[0] += 1
    assert Session(one).model_info["fingerprint"] != Session(two).model_info["fingerprint"]


def test_memory_adds_up(live):
    live.capture(live.prompt(IDS), "resid_post")
    memory = live.memory()
    assert memory["model"] == sum(p.numel() * 4 for p in live.model._module.parameters())
    assert memory["cache"] == live.cache.bytes > 0
    assert memory["free"] < memory["total"]


# -- running ---------------------------------------------------------------------------


def test_activations_are_found_by_site_or_by_name(live):
    got = live.capture(live.prompt(IDS), ["resid_post", "logits"])
    assert torch.equal(got["resid_post.1"], got[next(s for s in got if str(s) == "resid_post.1")])
    assert got.stack("resid_post").shape == (3, 7, 32)
    assert "logits" in got
    with pytest.raises(KeyError, match="was not captured"):
        got["z.0"]
    with pytest.raises(SiteError, match="sites"):
        live.capture(live.prompt(IDS), "nowhere")
    with pytest.raises(ValueError, match='"current", "none" or a list'):
        live.capture(live.prompt(IDS), "logits", interventions="all")


def test_patching_every_head_takes_a_few_forward_passes_and_gives_what_single_runs_give(live):
    prompt, clean = live.prompt(IDS), live.prompt(OTHER)
    live.capture(clean, "z")
    variants = [
        [Patch(site="z", layer=layer, head=head, position=position, source=clean)]
        for layer in range(3)
        for head in range(4)
        for position in (2, -1)
    ]
    before = live.forward_passes
    got = live.run_variants(prompt, variants, lambda a: a["logits"][:, -1, 5], batch=16)
    assert live.forward_passes - before == 2
    assert got.shape == (24,)
    single = torch.stack([live.run_with(prompt, v)["logits"][-1, 5] for v in variants])
    assert torch.allclose(got, single, atol=1e-5)
    assert got.std() > 1e-4


def test_variants_mix_kinds_and_places(live):
    prompt, other = live.prompt(IDS), live.prompt(OTHER)
    variants = [
        [],
        [Ablate(site="resid_post", layer=0, position=[1, 4], unit=[2, 9])],
        [
            Ablate(site="z", layer=1, head=[0, 3], method="mean"),
            Patch(site="mlp_out", layer=1, source=other),
        ],
        [
            Ablate(site="pattern", layer=2, head=1),
            {"kind": "scale", "site": "v", "layer": 2, "factor": -1},
        ],
        [Ablate(site="pattern", layer=2, head=3)],
    ]
    got = live.run_variants(prompt, variants, lambda a: a["logits"])
    for row, variant in enumerate(variants):
        assert torch.allclose(got[row], live.run_with(prompt, variant)["logits"], atol=1e-5), row
    assert live.run_variants(prompt, variants).shape == (5, 61)


def test_variants_report_progress_and_say_what_read_must_return(live):
    seen = []
    variants = [[Ablate(site="z", layer=0, head=h)] for h in range(4)]

    def work(job):
        job._changed = lambda: seen.append((job.progress_done, job.progress_total))
        return live.run_variants(live.prompt(IDS), variants, batch=1)

    live.run(work)
    assert (2, 4) in seen
    assert (4, 4) in seen
    with pytest.raises(ValueError, match="one entry per row"):
        live.run_variants(live.prompt(IDS), variants, lambda a: a["logits"].sum())
    with pytest.raises(ValueError, match="at least one"):
        live.run_variants(live.prompt(IDS), [])


def test_gradients_flow_through_a_users_trace(live):
    prompt = live.prompt(IDS)
    live.scale("resid_post", 2.0, layer=0)
    with live.trace(prompt):
        hidden = live.model.transformer.h[0].output
        hidden.requires_grad_(True)
        hidden.retain_grad()
        hidden.save()
        live.model.output.logits[0, -1, 5].backward()
    assert hidden.grad.abs().max() > 0


# -- events and end -------------------------------------------------------------------


def test_events_reach_every_listener_even_beside_a_broken_one(live, caplog):
    heard = []
    live.listen(lambda event: 1 / 0)
    stop = live.listen(heard.append)
    live.ablate("z", layer=0, head=1)
    live.selection.set(layer=2)
    live.capture(live.prompt(IDS[:4]), "logits")
    live.run(lambda: None)
    stop()
    assert {"interventions", "selection", "cache", "queue"} <= set(heard)
    assert "listener" in caplog.text
    live._listeners.clear()


def _open_use_and_close(module):
    heard = []
    with Session(module) as live:
        prompt = live.prompt(IDS)
        live.listen(heard.append)
        live.submit(lambda: live.capture(prompt, "logits")).result(10)
    assert heard[-1] == "closed"
    live.close()
    calls = [
        lambda: live.prompt(IDS),
        lambda: live.capture(prompt, "logits"),
        lambda: live.trace(prompt),
        lambda: live.submit(int),
        lambda: live.run(int),
        lambda: live.model,
        live.memory,
        lambda: live.code(prompt),
    ]
    for call in calls:
        with pytest.raises(SessionClosedError, match="was closed"):
            call()
    assert repr(live) == "Session(closed)"


def test_a_closed_session_says_so_and_lets_the_model_go():
    import gc
    import weakref

    module = build("gpt2")
    gone = weakref.ref(module)
    _open_use_and_close(module)
    del module
    gc.collect()
    assert gone() is None


def test_the_public_name_is_lazy():
    script = "import sys, interp_widgets as iw; assert 'torch' not in sys.modules; iw.Session; print('torch' in sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "True"
    assert iw.Session is Session
