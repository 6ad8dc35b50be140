"""One decorator makes a function a method: checked, recorded, run on the worker, found in the catalogue."""

from __future__ import annotations

import inspect
import json
import threading
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pytest
import torch

import interp_widgets as iw
from interp_widgets.methods.catalogue import Run, method
from interp_widgets.methods.tags import FACETS
from interp_widgets.results.array import ArrayResult
from interp_widgets.results.base import NotLiveError
from interp_widgets.results.registry import METHODS
from interp_widgets.session.errors import Cancelled, SessionBusyError
from interp_widgets.session.prompts import Prompt, PromptBatch
from interp_widgets.session.sites import SiteError
from tests.methods.conftest import ANSWER, FOIL, IDS, OTHER, open_session


@pytest.fixture
def scratch():
    """Methods that a test registers are gone after it."""
    list(METHODS)  # load the package, so that its own methods stay
    before = dict(METHODS._entries)
    yield METHODS
    METHODS._entries.clear()
    METHODS._entries.update(before)


@pytest.fixture
def projection(scratch):
    """A small method with every sort of argument."""

    @method(
        "projection",
        result="array",
        family="test",
        unit="position",
        cost="1 forward pass",
        paper="arXiv:0000.0",
    )
    def projection(
        run: Run,
        prompt: Prompt,
        direction: torch.Tensor | None = None,
        *,
        layer: int = 0,
        kind: Literal["dot", "cosine"] = "dot",
        others: Sequence[Prompt] = (),
        groups: Mapping[str, list[Prompt]] | None = None,
        scale: float = 1.0,
        noise: float = 0.0,
        seed: int = 0,
    ) -> ArrayResult:
        """Project the residual stream onto a direction.

        More words.
        """
        projection.threads.append(threading.current_thread().name)
        projection.grads.append(torch.is_grad_enabled())
        h = run.session.capture(prompt, f"resid_post.{layer}")[f"resid_post.{layer}"]
        d = torch.ones(h.shape[-1]) if direction is None else torch.as_tensor(direction)
        values = h @ d * scale
        values = values + noise * torch.randn(len(values), generator=run.generator())
        return ArrayResult({"values": values}, {"dims": ["position"]})

    projection.threads, projection.grads = [], []
    return projection


def test_the_call_keeps_name_documentation_and_signature_without_the_run(projection):
    assert projection.__name__ == "projection"
    assert inspect.getdoc(projection).startswith("Project the residual stream")
    assert list(inspect.signature(projection).parameters)[:3] == ["prompt", "direction", "layer"]
    assert "run" not in projection.__annotations__


def test_it_runs_on_the_worker_without_gradients(projection, prompt):
    with torch.enable_grad():
        projection(prompt)
    assert projection.threads[-1].startswith("interp-widgets")
    assert projection.grads == [False]


def test_its_recipe_is_json_and_makes_the_same_result_again(
    projection, session, prompt, corrupted, tmp_path
):
    direction = torch.linspace(
        -1, 1, session.capture(prompt, "resid_post.0")["resid_post.0"].shape[-1]
    )
    first = projection(
        prompt, direction, layer=2, others=[corrupted], groups={"a": [prompt], "b": [corrupted]},
        scale=float("inf"), noise=0.5, seed=3,
    )  # fmt: skip
    recipe = json.loads(first.recipe.to_json())
    assert recipe["method"] == "projection"
    assert recipe["seed"] == 3
    assert recipe["arguments"]["prompt"] == {
        "$prompt": {"ids": IDS, "answer": ANSWER, "foil": FOIL}
    }
    assert recipe["arguments"]["others"] == [{"$prompt": {"ids": OTHER}}]
    assert recipe["arguments"]["direction"] == {"$array": "arg.direction"}
    assert recipe["arguments"]["scale"] == {"$float": "inf"}
    assert recipe["arguments"]["kind"] == "dot"  # defaults are written down too
    assert recipe["model"]["fingerprint"] == session.model_info["fingerprint"]
    assert first.session is session
    again = first.rerun()
    torch.testing.assert_close(again.values, first.values, rtol=0, atol=0)
    assert again.recipe == first.recipe
    loaded = iw.load(first.save(tmp_path / "projection"))
    with pytest.raises(NotLiveError, match="not attached to a session"):
        loaded.rerun()
    revived = loaded.rerun(session)
    torch.testing.assert_close(revived.values, first.values, rtol=0, atol=0)


def test_a_rerun_sees_the_interventions_of_now_and_says_so(projection, session, prompt):
    before = projection(prompt, layer=1)
    session.ablate("mlp_out", layer=0)
    after = before.rerun()
    assert before.recipe.interventions == []
    assert [i["kind"] for i in after.recipe.interventions] == ["ablate"]
    assert not torch.allclose(before.values, after.values)
    session.undo()
    torch.testing.assert_close(before.rerun().values, before.values, rtol=0, atol=0)


def test_a_view_runs_a_recipe_again_on_the_worker_thread(projection, session, prompt):
    result = projection(prompt)
    job = session.submit(result.rerun, key="view", label="live view")
    assert torch.equal(job.result(timeout=30).values, result.values)


def test_an_unknown_argument_suggests_the_close_one(projection, prompt):
    with pytest.raises(
        TypeError, match="projection has no argument 'layers'; did you mean 'layer'"
    ):
        projection(prompt, layers=2)
    with pytest.raises(TypeError, match=r"no argument 'zzz'; it takes \(prompt"):
        projection(prompt, zzz=2)
    with pytest.raises(TypeError, match="missing a required argument: 'prompt'"):
        projection()


@pytest.mark.parametrize(
    ("arguments", "error", "why"),
    [
        (
            {"kind": "cosin"},
            ValueError,
            r"kind='cosin' is not one of 'dot', 'cosine' \(did you mean 'cosine'",
        ),
        ({"kind": 3}, ValueError, "kind=3 is not one of"),
        ({"layer": "2"}, TypeError, r"layer must be int, not str \('2'\)"),
        ({"layer": 1.5}, TypeError, "layer must be int, not float"),
        ({"layer": True}, TypeError, "layer must be int, not bool"),
        ({"scale": "big"}, TypeError, "scale must be float"),
        ({"others": ["text"]}, TypeError, "others must be"),
        ({"direction": [1.0, 2.0]}, TypeError, "direction must be Tensor or None, not list"),
    ],
)
def test_an_argument_of_the_wrong_type_is_refused_before_anything_runs(
    projection, prompt, arguments, error, why
):
    passes = prompt.session.forward_passes
    with pytest.raises(error, match=why):
        projection(prompt, **arguments)
    assert projection.threads == []
    assert prompt.session.forward_passes == passes


def test_numpy_numbers_and_arrays_are_as_good_as_pythons(projection, prompt):
    width = prompt.session.capture(prompt, "embed")["embed"].shape[-1]
    direction = np.ones(width, dtype=np.float32)
    result = projection(prompt, direction, layer=np.int64(1), scale=np.float32(2))
    torch.testing.assert_close(result.values, 2 * projection(prompt, layer=1).values)
    assert result.recipe.arguments["layer"] == 1


def test_text_instead_of_a_prompt_says_how_to_make_one(projection):
    with pytest.raises(TypeError, match=r"prompt is text; .*session\.prompt\('The capital"):
        projection("The capital of France is")
    with pytest.raises(TypeError, match="prompt must be Prompt, not list"):
        projection([1, 2, 3])


def test_prompts_of_two_sessions_do_not_mix(projection):
    one, two = open_session("gpt2").prompt(IDS), open_session("llama").prompt(IDS)
    with pytest.raises(
        ValueError, match=r"different sessions \(GPT2LMHeadModel and LlamaForCausalLM\)"
    ):
        projection(one, others=[two])
    with pytest.raises(ValueError, match="different sessions"):
        projection(one, groups={"a": [one], "b": [two]})


def test_a_function_cannot_be_written_into_a_recipe(scratch, prompt):
    @method("custom", result="array", family="test", unit="-", cost="-")
    def custom(run: Run, prompt: Prompt, metric: object = None) -> ArrayResult:
        """Never runs."""

    with pytest.raises(TypeError, match="metric is a function, which a recipe cannot hold"):
        custom(prompt, lambda logits: logits)


def test_a_call_without_any_prompt_runs_on_plain_data(scratch):
    @method("mean", result="array", family="test", unit="-", cost="-")
    def mean(run: Run, data: torch.Tensor) -> ArrayResult:
        """Average the rows."""
        assert not run.live
        return ArrayResult({"values": torch.as_tensor(data).mean(0)}, {"dims": ["unit"]})

    result = mean(torch.arange(6.0).reshape(2, 3))
    assert result.values.tolist() == [1.5, 2.5, 3.5]
    assert result.session is None
    assert result.recipe.arguments == {"data": {"$array": "arg.data"}}

    @method("reader", result="array", family="test", unit="-", cost="-")
    def reader(run: Run, data: torch.Tensor) -> ArrayResult:
        """Ask for a model that is not there."""
        run.session.capture(None, "embed")

    with pytest.raises(NotLiveError, match="reader needs a model here"):
        reader(torch.ones(2))


def test_a_batch_of_prompts_comes_back_from_a_recipe(scratch, session):
    @method("norms", result="array", family="test", unit="-", cost="-")
    def norms(run: Run, prompts: PromptBatch) -> ArrayResult:
        """Measure norms."""
        embed = run.session.capture(prompts, "embed")["embed"]
        return ArrayResult({"values": embed.norm(dim=-1)}, {"dims": ["batch", "position"]})

    result = norms(session.prompts([session.prompt(IDS), session.prompt(OTHER)]))
    assert result.recipe.arguments["prompts"] == {
        "$batch": {"prompts": [{"ids": IDS}, {"ids": OTHER}]}
    }
    assert torch.equal(result.rerun().values, result.values)


def test_a_long_method_stops_when_somebody_cancels_it(scratch, session, prompt):
    started, seen = threading.Event(), []

    @method("slow", result="array", family="test", unit="-", cost="-")
    def slow(run: Run, prompt: Prompt) -> ArrayResult:
        """Count for ever."""
        for i in range(10**9):
            run.progress(i, 10**9)
            started.set()
            seen.append(i)

    job = session.submit(lambda: slow(prompt), key="view")
    assert started.wait(30)
    job.cancel()
    with pytest.raises(Cancelled):
        job.result(timeout=30)
    assert job.progress_total == 10**9
    assert iw.activations(prompt).recipe is not None  # the session goes on


def test_a_body_that_fails_raises_in_the_cell_and_the_session_goes_on(scratch, prompt):
    @method("broken", result="array", family="test", unit="-", cost="-")
    def broken(run: Run, prompt: Prompt) -> ArrayResult:
        """Divide."""
        return 1 / 0

    with pytest.raises(ZeroDivisionError):
        broken(prompt)
    assert iw.activations(prompt, "embed").sizes["position"] == len(IDS)


def test_a_body_that_returns_another_kind_is_told(scratch, prompt):
    @method("lens_like", result="lens", family="test", unit="-", cost="-")
    def lens_like(run: Run, prompt: Prompt) -> ArrayResult:
        """Return an array."""
        return ArrayResult({"values": torch.ones(2)}, {"dims": ["a"]})

    with pytest.raises(TypeError, match="result='lens' and returned ArrayResult"):
        lens_like(prompt)


def test_a_method_inside_a_trace_is_refused_instead_of_waiting_for_ever(
    projection, session, prompt
):
    with pytest.raises(Exception, match="trace") as caught, session.trace(prompt):
        projection(prompt)
    assert isinstance(caught.value, SessionBusyError) or "SessionBusyError" in str(caught.value)
    assert projection(prompt).values.shape == (len(IDS),)


def test_a_method_may_call_another(scratch, prompt):
    @method("twice", result="array", family="test", unit="-", cost="-")
    def twice(run: Run, prompt: Prompt) -> ArrayResult:
        """Double the activations."""
        inner = iw.activations(prompt, "resid_post", layer=1)
        return ArrayResult({"values": 2 * inner.values}, dict(inner.meta))

    assert torch.equal(twice(prompt).values, 2 * iw.activations(prompt, layer=1).values)


def test_registration_mistakes_are_told_to_the_author(scratch):
    with pytest.raises(TypeError, match="first parameter of the method 'lonely' must be `run`"):

        @method("lonely", result="array", family="test", unit="-", cost="-")
        def lonely(prompt: Prompt) -> ArrayResult:
            """No run."""

    with pytest.raises(TypeError, match=r"annotations of the method 'hidden'.*import their types"):

        @method("hidden", result="array", family="test", unit="-", cost="-")
        def hidden(run: Run, prompt: NotImported) -> ArrayResult:  # noqa: F821
            """A type that is not there."""


def test_the_catalogue_lists_every_method_with_where_it_comes_from():
    table = iw.catalogue()
    assert list(table.columns) == [
        "name",
        "title",
        "summary",
        "family",
        "unit",
        "cost",
        "result",
        "paper",
        *FACETS,
    ]
    rows = table.set_index("name")
    assert {"activations", "attention", "attribute", "logit_lens", "patching"} <= set(rows.index)
    assert "1706.03762" in rows.loc["attention", "paper"]
    assert rows.loc["logit_lens", "result"] == "lens"
    assert rows.loc["patching", "title"] == "Activation patching"
    for column in ("summary", "family", "unit", "cost", "result"):
        assert rows[column].str.len().min() > 2


def test_a_recipe_for_another_model_without_that_site_fails_clearly(session, prompt):
    result = iw.activations(prompt, "resid_post", layer=2)
    moved = type(result.recipe)(
        **{**result.recipe.__dict__, "arguments": {**result.recipe.arguments, "layer": 7}}
    )
    result.recipe = moved
    with pytest.raises(SiteError, match="no layer 7"):
        result.rerun()
