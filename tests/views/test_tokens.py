"""The tokens view: one channel at a time, base and difference, odd tokens."""

from __future__ import annotations

import numpy as np
import pytest
import torch

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
    assert list(many.export_requests()) == [("values", {"mode": "current", "channel": 7})]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"channel": 3}, "no channel 3; there are 3"),
        ({"channel": "neuron 9"}, "no channel 'neuron 9'; there are neuron 0"),
        ({"layout": "cloud"}, "layout is one of text, bars"),
        ({"normalise": "row"}, "normalise is one of channel, global"),
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
