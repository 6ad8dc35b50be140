"""Any tensor somebody saved in a trace shows up labelled, linked and safe."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import interp_widgets as iw
from interp_widgets.results.base import NotLiveError
from tests.methods.conftest import IDS


def test_a_tensor_saved_in_a_trace_is_labelled_with_the_prompts_tokens(session, prompt):
    path = session.anatomy.blocks[1].path
    block = session.model.get(path)
    with session.trace(prompt):
        h = block.output.save()
    h = h[0] if isinstance(h, tuple) else h
    result = iw.show(h, dims=("batch", "position", "hidden"), prompt=prompt)
    assert result.dims == ["batch", "position", "hidden"]
    assert result.labels("position") == [str(i) for i in IDS]
    assert result.labels("batch") == ["0"]
    assert result.session is session
    torch.testing.assert_close(
        result.values[0], session.capture(prompt, "resid_post.1")["resid_post.1"]
    )


def test_it_has_no_recipe_and_says_so_when_run_again(prompt):
    result = iw.show(torch.rand(3, 7), dims=("head", "position"), prompt=prompt)
    assert result.recipe is None
    with pytest.raises(NotLiveError, match="no recipe"):
        result.rerun()


def test_queries_and_keys_are_labelled_only_where_the_length_fits(prompt):
    result = iw.show(torch.rand(7, 5), dims=("query", "key"), prompt=prompt)
    assert result.labels("query") == [str(i) for i in IDS]
    assert result.labels("key") == ["0", "1", "2", "3", "4"]


def test_given_labels_win_and_may_be_anything(prompt):
    result = iw.show(
        torch.rand(2, 7),
        dims=("head", "position"),
        labels={"head": ["<script>", 9.6], "position": range(7)},
        prompt=prompt,
    )
    assert result.labels("head") == ["<script>", "9.6"]
    assert result.labels("position")[3] == "3"


@pytest.mark.parametrize(
    "value",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        [[0, 1, 2], [3, 4, 5]],
        torch.arange(6).reshape(2, 3),
        torch.arange(6.0).reshape(2, 3).requires_grad_() * 1,
        torch.arange(6.0).reshape(3, 2).T.contiguous().T.mT.reshape(2, 3),
    ],
    ids=["numpy", "lists", "integers", "with gradient", "strided"],
)
def test_arrays_of_every_sort_are_taken(value):
    result = iw.show(value)
    assert result.dims == ["dim 0", "dim 1"]
    assert result.sizes == {"dim 0": 2, "dim 1": 3}
    assert not result.values.requires_grad
    assert "dim 0 × dim 1 = 2 × 3" in result.text()


def test_masks_and_half_precision_can_be_shown():
    assert iw.show(torch.tensor([True, False])).numpy("values").tolist() == [1, 0]
    assert iw.show(torch.ones(2, dtype=torch.bfloat16)).frame().value.tolist() == [1.0, 1.0]


def test_title_quantity_and_sign_can_be_said():
    result = iw.show([[0.0, 1.0]], title="Saliency", quantity="change in nats", signed=True)
    assert result.text().startswith("Saliency: change in nats")
    assert result.signed


def test_it_is_kept_on_its_device_and_not_copied():
    tensor = torch.rand(3, 4)
    assert iw.show(tensor).values.data_ptr() == tensor.data_ptr()


@pytest.mark.parametrize(
    ("arguments", "error", "why"),
    [
        ((torch.rand(2, 3), ("a",)), ValueError, r"1 dims \('a',\) for a tensor with 2: 2 × 3"),
        ((torch.rand(2, 3), ("a", "a")), ValueError, "differ"),
        ((torch.rand(2, 3), ("a", "b"), {"c": [1]}), ValueError, "not one of the dims"),
        (
            (torch.rand(2, 3), ("a", "b"), {"b": ["x"]}),
            ValueError,
            "1 labels for dim 'b' of size 3",
        ),
        ((torch.rand(2) * 1j,), TypeError, "complex numbers"),
        ((["a", "b"],), TypeError, "not a tensor of numbers"),
        (([[1, 2], [3]],), TypeError, "equal lengths"),
        ((torch.rand(2), None, None, "text"), TypeError, r"made by session\.prompt"),
    ],
)
def test_what_cannot_be_shown_says_why(arguments, error, why):
    with pytest.raises(error, match=why):
        iw.show(*arguments)


def test_a_number_is_an_array_without_dims():
    result = iw.show(3.0, title="loss")
    assert (result.dims, result.text()) == ([], "loss: value 3")
    assert result.frame().value.tolist() == [3.0]


def test_masked_cells_are_left_out_and_counted_apart_from_nan():
    values = np.ma.masked_array([[1, 2, 9], [4, 9, 6]], mask=[[0, 0, 1], [0, 1, 0]])
    result = iw.show(values, dims=("row", "unit"))
    assert result.masked == 2
    assert result.range.high == 6
    assert "2 entries are masked" in result.text()
    padded = iw.show(torch.ones(2, 3, 4), mask=torch.tensor([[[False], [False], [True]]]))
    assert padded.masked == 8
    with pytest.raises(ValueError, match=r"mask of shape \(5,\) does not fit"):
        iw.show(torch.ones(2, 3), mask=np.zeros(5, dtype=bool))
