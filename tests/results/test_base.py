"""Results save, load and refuse what they cannot do."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

import interp_widgets as iw
from interp_widgets.results.array import ArrayResult
from interp_widgets.results.base import NotLiveError, Result, to_numpy
from interp_widgets.results.recipe import Recipe


def result(**options) -> ArrayResult:
    values = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    return ArrayResult(
        {"values": values, "arg.direction": torch.ones(7, dtype=torch.bfloat16)},
        {"dims": ("layer", "position"), "labels": {"position": [*"abc", "</script>", "é"]}},
        **options,
    )


def test_a_result_reads_back_with_data_labels_and_recipe(tmp_path):
    recipe = Recipe(
        "logit_lens", {"k": 3, "direction": {"$array": "arg.direction"}}, {"name": "tiny"}
    )
    path = result(recipe=recipe).save(tmp_path / "lens")
    assert path.name == "lens.safetensors"
    again = iw.load(path)
    assert type(again) is ArrayResult
    np.testing.assert_array_equal(again.numpy("values"), result().numpy("values"))
    assert again.arrays["arg.direction"].dtype == np.float32  # numpy has no bfloat16
    assert again.labels("position")[3] == "</script>"
    assert again.recipe == recipe
    assert again.session is None
    assert repr(again) == "ArrayResult(arg.direction (7,), values (3, 5))"


def test_a_name_that_has_a_suffix_keeps_it(tmp_path):
    assert result().save(tmp_path / "lens.v2").name == "lens.v2.safetensors"
    assert result().save(tmp_path / "lens.safetensors").name == "lens.safetensors"


def test_files_that_are_not_results_say_so(tmp_path):
    text = tmp_path / "notes.safetensors"
    text.write_text("hello")
    with pytest.raises(ValueError, match="not a safetensors file"):
        iw.load(text)
    weights = tmp_path / "weights.safetensors"
    save_file({"w": np.zeros(3, dtype=np.float32)}, weights)
    with pytest.raises(ValueError, match="holds no result"):
        iw.load(weights)
    with pytest.raises(FileNotFoundError):
        iw.load(tmp_path / "nothing.safetensors")


def test_a_recipe_that_names_something_else_than_a_method_is_refused(tmp_path):
    path = tmp_path / "evil.safetensors"
    header = {
        "kind": "array",
        "meta": json.dumps({"dims": ["a"]}),
        "recipe": json.dumps({"method": "os.system", "arguments": {"command": "true"}}),
    }
    save_file({"values": np.zeros(3, dtype=np.float32)}, path, metadata=header)
    with pytest.raises(ValueError, match=r"'os\.system', which is not registered"):
        iw.load(path)


def test_running_again_needs_a_recipe_and_a_session():
    with pytest.raises(NotLiveError, match="no recipe"):
        result().rerun()
    with pytest.raises(NotLiveError, match=r"pass one, as in result\.rerun\(session\)"):
        result(recipe=Recipe("logit_lens")).rerun()


@pytest.mark.parametrize(
    "array",
    [
        torch.arange(6.0).reshape(2, 3).T,
        torch.tensor(3.0),
        torch.ones(2, 3, dtype=torch.bfloat16),
        torch.ones(2, requires_grad=True),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.float32(3),
    ],
    ids=["strided", "scalar", "bfloat16", "with gradient", "fortran", "numpy scalar"],
)
def test_arrays_reach_the_host_in_c_order_with_their_shape(array):
    host = to_numpy(array if not isinstance(array, np.float32) else np.asarray(array))
    assert host.flags.c_contiguous
    assert host.shape == tuple(array.shape)
    expected = array.detach().float().numpy() if isinstance(array, torch.Tensor) else array
    np.testing.assert_array_equal(host, expected)


def test_the_title_falls_back_from_meta_to_method_to_kind():
    assert result().title == "array"
    assert result(recipe=Recipe("logit_lens")).title == "logit_lens"
    titled = Result({}, {"title": "My figure"})
    assert titled.title == "My figure"
