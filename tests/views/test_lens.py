"""The lens view: words by block, pins followed, cells patched, and what a page and a figure hold."""

from __future__ import annotations

import numpy as np
import pytest

from interp_widgets.results.lens import LensResult
from interp_widgets.results.recipe import Recipe
from interp_widgets.results.registry import VIEWS
from interp_widgets.views.lens import BLOCK, PINS, LensView
from interp_widgets.views.planes import TILE
from interp_widgets.views.wire import unpack
from tests.views.fakes import ask

LAYERS, TOKENS, K = 3, 5, 4


def lens_result(session=None, **more):
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 9, (LAYERS, TOKENS, K))
    probs = np.sort(rng.dirichlet(np.ones(K), (LAYERS, TOKENS)), axis=-1)[..., ::-1]
    arrays = {"ids": ids, "probs": probs.astype("f4"), "entropy": rng.random((LAYERS, TOKENS))}
    meta = {
        "tokens": ["a", "b", "c", "d", "<script>"],
        "layers": ["embed", "0", "1"],
        "strings": {str(i): f" w{i}" for i in range(9)},
        "sites": ["resid_pre.0", "resid_post.0", "resid_post.1"],
        "title": "lens",
    }
    return LensResult({**arrays, **more}, meta)


def pinned(**meta) -> LensResult:
    rng = np.random.default_rng(1)
    result = lens_result(
        pin_ids=np.array([3, 7], dtype="i4"),
        pin_probs=rng.random((2, LAYERS, TOKENS)).astype("f4"),
        log_normalizer=np.zeros((LAYERS, TOKENS), "f4"),
    )
    result.meta["pins"] = [[3], [7]]
    result.meta.update(meta)
    return result


def long_lens(layers: int = 20, tokens: int = TILE + 3) -> LensResult:
    ids = np.zeros((layers, tokens, 2), dtype=int)
    ids[1, TILE] = 7
    meta = {
        "tokens": ["x"] * tokens,
        "layers": ["embed", *map(str, range(layers - 1))],
        "strings": {"7": " w7"},
        "title": "",
    }
    return LensResult({"ids": ids, "probs": np.full(ids.shape, 0.5, dtype="f4")}, meta)


def answer(view, name, **payload):
    message, buffers = ask(view, name, payload)
    return unpack(message["payload"], buffers) if message["ok"] else message["error"]


def test_the_first_paint_has_colours_words_and_the_course_of_the_pins():
    result = pinned()
    view = LensView(result)
    first = unpack(view.spec["first"], view.spec["buffers"])
    tile, words, track = first["tiles"][0], first["words"][0], first["track"]
    np.testing.assert_array_equal(tile["values"], result.numpy("probs")[..., 0])
    np.testing.assert_array_equal(words["ids"], result.numpy("ids"))
    np.testing.assert_allclose(words["probs"], result.numpy("probs"), atol=1e-3)
    assert words["strings"][str(result.numpy("ids")[1, 2, 0])] == result.top(1, 2)[0][0]
    assert track["ids"] == [3, 7]
    np.testing.assert_array_equal(track["probs"], result.arrays["pin_probs"])
    assert view.spec["numbers"]["layer"] == [-1, 0, 1]
    assert view.state["pins"] == [[[3, " w3"]], [[7, " w7"]]]
    view.close()


def test_it_colours_only_by_what_the_lens_holds():
    rank = np.arange(LAYERS * TOKENS).reshape(LAYERS, TOKENS)
    view = LensView(lens_result(answer_rank=rank), color="answer_rank")
    assert [name for name, _ in view.spec["channels"]] == ["probability", "entropy", "answer_rank"]
    np.testing.assert_array_equal(answer(view, "tile", channel="answer_rank")["values"], rank)
    view.close()
    with pytest.raises(ValueError, match="holds no 'kl'; color is one of probability, entropy"):
        LensView(lens_result(), color="kl")


def test_of_a_long_prompt_only_the_blocks_that_are_read_travel():
    view = LensView(long_lens())
    assert sum(len(b) for b in view.spec["buffers"]) == 0
    block = answer(view, "words", mode="current", row=0, col=TILE // BLOCK)
    assert block["ids"].shape == (BLOCK, 3, 2)
    assert block["strings"]["7"] == " w7"
    assert answer(view, "words", mode="current", row=1, col=0)["ids"].shape == (4, BLOCK, 2)
    assert "no words at row 32" in answer(view, "words", mode="current", row=2)["message"]
    view.close()


def test_pinned_groups_are_given_by_text_or_id():
    view = LensView(lens_result(), pins=[[" w3", 7], " w1"])
    assert view.state["pins"] == [[[3, " w3"], [7, " w7"]], [[1, " w1"]]]
    assert view.figure_options()["pins"] == [[3, 7], [1]]
    view.close()
    with pytest.raises(ValueError, match="'nobody' does not occur in this lens"):
        LensView(lens_result(), pins=["nobody"])
    with pytest.raises(ValueError, match="more than 8 lines"):
        LensView(lens_result(), pins=[[i] for i in range(PINS + 1)])


def test_without_the_model_a_token_is_known_where_it_is_among_the_best():
    result = lens_result()
    view = LensView(result)
    found = answer(view, "track", mode="current", ids=[4])["probs"][0]
    here = (result.numpy("ids") == 4).any(-1)
    assert here.any()
    assert not here.all()
    np.testing.assert_array_equal(np.isnan(found), ~here)
    assert answer(view, "find", text="w4")["found"] == [[4, " w4"]]
    assert "does not occur" in answer(view, "find", text="</script>")["message"]
    view.close()


def test_after_a_change_pins_have_a_base_and_a_difference():
    base, now = pinned(), pinned()
    now.arrays["pin_probs"] = base.arrays["pin_probs"] * np.float32(0.25)
    now.recipe = Recipe("logit_lens", {}, interventions=[{"kind": "ablate", "site": "z"}])
    view = LensView(base)
    view.set_result(now)
    shown = {m: answer(view, "track", mode=m, ids=[7])["probs"][0] for m in ("base", "difference")}
    np.testing.assert_array_equal(shown["base"], base.arrays["pin_probs"][1])
    np.testing.assert_allclose(shown["difference"], shown["base"] * -0.75, rtol=1e-6)
    view.state = {**view.state, "mode": "difference", "channel": "entropy"}
    figure = view.figure()
    assert "current − base" in figure.caption
    assert len(figure.mpl.axes) >= 2
    view.close()


def test_an_exported_page_holds_words_and_the_tokens_that_can_be_pinned():
    view = LensView(pinned(), color="entropy")
    asked = list(view.export_requests())
    spec = view.export_spec()
    assert ("words", {"mode": "current", "row": 0, "col": 0}) in asked
    tracked = [payload["ids"][0] for name, payload in asked if name == "track"]
    assert tracked == spec["trackable"]
    assert tracked[:2] == [3, 7]
    assert set(tracked) >= set(np.unique(view.current.numpy("ids")[..., 0]))
    assert not spec["wordless"]
    assert spec["sites"] == []
    view.close()
    large = LensView(long_lens(layers=120))
    assert large.export_spec()["wordless"]
    assert "words" not in {name for name, _ in large.export_requests()}
    large.close()


def test_a_zoomed_view_gives_a_zoomed_figure():
    view = LensView(pinned())
    view.state = {**view.state, "window": {"row": [0, 3], "col": [1.2, 3.9]}, "cell": [2, 3]}
    options = view.figure_options()
    assert (options["positions"], options["cell"]) == (slice(1, 4), [2, 3])
    assert "Positions 1 to 3 of 5" in view.figure().caption
    view.close()


def test_the_registry_knows_it():
    assert VIEWS.get("lens") is LensView
