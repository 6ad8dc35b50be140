"""The tokens view: one channel at a time, base and difference, odd tokens."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from interp_widgets.results.recipe import Recipe
from interp_widgets.results.tokens import TokensResult
from interp_widgets.views.tokens import EXPORT_VALUES, TokensView
from interp_widgets.views.wire import unpack


def made(channels: int = 3, positions: int = 5, **meta) -> TokensResult:
    generator = torch.Generator().manual_seed(channels)
    values = torch.randn(channels, positions, generator=generator)
    meta = {
        "tokens": [f"t{i}" for i in range(positions)],
        "channels": [f"neuron {i}" for i in range(channels)],
        "quantity": "activation",
        "signed": True,
        **meta,
    }
    return TokensResult({"values": values}, meta)


def ask(view: TokensView, name: str, **payload) -> dict:
    """Send a request as the browser does and return the answer."""
    sent = []
    view.send = lambda content, buffers=None: sent.append((content, buffers or []))
    view._receive(view, {"kind": "request", "id": "1", "name": name, "payload": payload}, [])
    ((answer, buffers),) = sent
    return {**answer, "payload": unpack(answer.get("payload"), buffers)}


def test_the_first_paint_carries_the_channel_in_sight_and_no_other():
    result = made(channels=36_864, positions=64)
    view = TokensView(result, channel="neuron 512")
    first = unpack(view.spec["first"], view.spec["buffers"])
    assert first["channel"] == 512
    np.testing.assert_array_equal(first["values"], result.arrays["values"][512])
    assert sum(len(b) for b in view.spec["buffers"]) == 64 * 4


def test_any_other_channel_comes_when_asked_for_with_the_range_of_all():
    result = made()
    answer = ask(TokensView(result), "values", channel=2)["payload"]
    np.testing.assert_array_equal(answer["values"], result.arrays["values"][2])
    everything = result.arrays["values"]
    assert answer["global"] == pytest.approx([float(everything.min()), float(everything.max())])


def test_values_that_are_no_numbers_do_not_stretch_the_range():
    result = made()
    result.arrays["values"][0, 1] = torch.nan
    result.arrays["values"][1, 1] = torch.inf
    answer = ask(TokensView(result), "values", channel=0)["payload"]
    assert np.isnan(answer["values"][1])
    assert np.isfinite(answer["global"]).all()


def test_half_precision_values_can_be_shown():
    result = made()
    result.arrays["values"] = result.arrays["values"].bfloat16()
    answer = ask(TokensView(result), "values", channel=1)["payload"]
    np.testing.assert_array_equal(answer["values"], result.arrays["values"][1].float())


def test_after_a_change_the_base_stays_and_the_difference_is_theirs():
    base, now = made(), made()
    now.arrays["values"] = base.arrays["values"] * 0.5
    view = TokensView(base)
    view.set_result(now)
    shown = {
        mode: ask(view, "values", channel=1, mode=mode)["payload"]["values"]
        for mode in ("base", "current", "difference")
    }
    np.testing.assert_array_equal(shown["base"], base.arrays["values"][1])
    np.testing.assert_allclose(shown["current"], shown["base"] / 2)
    np.testing.assert_allclose(shown["difference"], shown["current"] - shown["base"])
    assert view.spec["revision"] == 1


def test_tokens_and_what_is_explained_travel_as_text():
    tokens = ["<script>alert(1)</script>", "\n", "😀", "שלום", ""]
    view = TokensView(made(tokens=tokens, target="logit of “<b>”"))
    assert view.spec["tokens"] == tokens
    assert view.spec["target"] == "logit of “<b>”"


def test_an_exported_page_holds_all_channels_while_they_are_few():
    assert len(list(TokensView(made()).export_requests())) == 3
    many = TokensView(made(channels=3_000, positions=100), channel=7)
    assert EXPORT_VALUES < 3_000 * 100
    asked = list(many.export_requests())
    lists = [payload for name, payload in asked if name == "channels"]
    assert [p["by"] for p in lists] == ["max", "magnitude", "mean", "variance"]
    kept = {payload["channel"] for name, payload in asked if name == "values"}
    listed = {int(i) for p in lists for i in many.on_channels(p)["index"].values}
    assert kept == {7} | listed
    assert [i for i, _ in many.export_spec()["kept"]] == [
        payload["channel"] for name, payload in asked if name == "values"
    ]


def neurons(channels: int = 500, positions: int = 9) -> TokensResult:
    result = made(channels, positions)
    result.meta["channels"] = [f"L{i // 100}N{i % 100}" for i in range(channels)]
    return result


@pytest.mark.parametrize("by", ["max", "magnitude", "mean", "variance", "token"])
def test_channels_are_sorted_in_the_kernel_and_one_page_travels(by):
    result = neurons()
    values = result.arrays["values"].double()
    truth = {
        "max": values.amax(1),
        "magnitude": values.abs().amax(1),
        "mean": values.mean(1),
        "variance": values.var(1, unbiased=False),
        "token": values[:, 4],
    }[by]
    page = ask(TokensView(result), "channels", by=by, token=4)["payload"]
    order = truth.argsort(descending=True)[:15]
    np.testing.assert_array_equal(page["index"], order)
    np.testing.assert_allclose(page["numbers"], truth[order], rtol=1e-5)
    assert page["names"] == [result.channels[i] for i in order]
    np.testing.assert_array_equal(page["sparks"], result.arrays["values"][order])
    assert page["total"] == 500


def test_a_neuron_is_found_by_its_name_the_exact_one_first():
    view = TokensView(neurons())
    page = ask(view, "channels", by="max", query="l3n1")["payload"]
    assert page["names"][0] == "L3N1"
    assert set(page["names"][1:]) == {f"L3N1{i}" for i in range(10)}
    assert ask(view, "channels", by="max", query="L9N9")["payload"]["names"] == []


def test_later_pages_and_long_texts_come_as_small_pictures():
    result = neurons(40, 200)
    page = ask(TokensView(result), "channels", by="mean", start=30)["payload"]
    assert len(page["names"]) == 10
    assert page["sparks"].shape == (10, 50)
    rows = result.numpy("values")[page["index"]]
    np.testing.assert_array_equal(np.abs(page["sparks"]).max(1), np.abs(rows).max(1))


def test_channels_of_the_difference_are_sorted_by_the_difference():
    base, now = neurons(), neurons()
    now.arrays["values"] = base.arrays["values"].clone()
    now.arrays["values"][321, 2] += 50
    view = TokensView(base)
    view.set_result(now)
    page = ask(view, "channels", mode="difference", by="max")["payload"]
    assert page["index"][0] == 321
    assert page["numbers"][0] == pytest.approx(50, abs=1e-4)


def test_a_channel_without_a_number_comes_last():
    result = neurons(20, 3)
    result.arrays["values"][5] = torch.nan
    result.arrays["values"][6, 0] = torch.inf
    view = TokensView(result)
    names = [n for start in (0, 15) for n in ask(view, "channels", start=start)["payload"]["names"]]
    assert names[-1] == "L0N5"
    assert names[0] != "L0N6"


def test_of_many_channels_the_largest_is_shown_first_and_of_a_matrix_the_last_target():
    result = neurons()
    assert TokensView(result).state["channel"] == int(result.arrays["values"].amax(1).argmax())
    matrix = made(channels=3, targets=[2, 3, 4])
    view = TokensView(matrix)
    assert view.state["channel"] == 2
    assert view.spec["targets"] == [2, 3, 4]
    with pytest.raises(ValueError, match="2 targets for 3 channels"):
        made(channels=3, targets=[1, 2])


def test_bad_questions_about_channels_are_answered_with_what_is_wrong():
    view = TokensView(neurons())
    assert "by is one of" in ask(view, "channels", by="beauty")["error"]["message"]
    assert "no token 99" in ask(view, "channels", by="token", token=99)["error"]["message"]


def test_the_figure_shows_what_the_view_shows():
    view = TokensView(made(), channel=1, normalise="sum", layout="bars", sort="size")
    options = view.figure_options()
    assert (options["channel"], options["normalise"], options["layout"]) == (1, "sum", "bars")
    now = made()
    now.arrays["values"] = view.base.arrays["values"] * 3
    now.recipe = Recipe("attribute", {}, interventions=[{"kind": "ablate", "site": "z"}])
    view.set_result(now)
    view.state = {**view.state, "mode": "difference"}
    base = view.base.numpy("values")
    np.testing.assert_allclose(view.figure_result().numpy("values"), base * 2, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"channel": 3}, "no channel 3; there are 3"),
        ({"channel": "neuron 9"}, "no channel 'neuron 9'; there are neuron 0"),
        ({"layout": "cloud"}, "layout is one of text, bars"),
        ({"normalise": "row"}, "normalise is one of none, max, sum"),
        ({"scale": "row"}, "scale is one of channel, global"),
        ({"by": "beauty"}, "by is one of max"),
        ({"sort": "random"}, "sort is one of"),
    ],
)
def test_a_view_that_cannot_be_says_what_can(options, words):
    with pytest.raises(ValueError, match=words):
        TokensView(made(), **options)


def test_a_channel_that_is_not_there_gets_an_error_and_the_view_goes_on():
    view = TokensView(made())
    answer = ask(view, "values", channel=99)
    assert not answer["ok"]
    assert "no channel 99" in answer["error"]["message"]
    assert ask(view, "values", channel=0)["ok"]


def test_a_warning_that_belongs_to_the_numbers_is_shown_with_them():
    note = "the attributions add up to 3.2 and the score differs by 4: take more steps"
    assert TokensView(made(note=note)).spec["note"] == note
    assert note in made(note=note).figure().caption
    assert TokensView(made()).spec["note"] == ""
