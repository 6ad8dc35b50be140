"""What the browser decodes must be what Python had, in whatever form it was."""

import json

import numpy as np
import pytest
import torch

from interp_widgets.views.wire import NAN_CODE, Array, error_payload, pack, quantise, unpack

VALUES = np.arange(12, dtype=np.float64).reshape(3, 4) / 7


def round_trip(value, dtype="float32"):
    plain, buffers = pack({"a": Array(value, dtype)})
    return unpack(json.loads(json.dumps(plain)), buffers)["a"]


@pytest.mark.parametrize(
    "value",
    [
        VALUES,
        np.asfortranarray(VALUES),
        VALUES.T.copy().T,
        np.repeat(VALUES, 2, axis=1)[:, ::2],
        VALUES.astype(">f8"),
        torch.tensor(VALUES),
        torch.tensor(VALUES.T.copy()).T,
        torch.tensor(VALUES, requires_grad=True),
    ],
    ids=["c", "fortran", "transposed", "strided", "big-endian", "torch", "torch.T", "grad"],
)
def test_memory_layout_does_not_matter(value):
    np.testing.assert_allclose(round_trip(value), VALUES, rtol=1e-6)


def test_the_bytes_are_little_endian_in_c_order():
    plain, buffers = pack(Array(np.asfortranarray([[1, 2, 3], [4, 5, 6]]), "int32"))
    assert plain == {"dtype": "int32", "shape": [2, 3], "$buffer": 0}
    assert buffers[0] == b"".join(i.to_bytes(4, "little") for i in (1, 2, 3, 4, 5, 6))


def test_bfloat16_arrives_exactly():
    value = torch.tensor([1.0, -2.5, 3e38], dtype=torch.bfloat16)
    np.testing.assert_array_equal(round_trip(value), value.float().numpy())


def test_nan_and_infinity_travel_in_arrays_and_become_null_outside():
    value = np.array([np.nan, np.inf, -np.inf, 1.0])
    np.testing.assert_array_equal(round_trip(value), value.astype("f4"))
    np.testing.assert_array_equal(round_trip(value, "float16"), value.astype("f2"))
    plain, _ = pack({"top": float("nan"), "low": np.float32("-inf"), "n": np.int64(3)})
    assert plain == {"top": None, "low": None, "n": 3}
    json.dumps(plain, allow_nan=False)


@pytest.mark.parametrize("value", [[1e6, 1.0], [1e-6, -3e-6]])
def test_float16_gives_way_where_its_range_does_not_fit(value):
    np.testing.assert_allclose(round_trip(np.array(value), "float16"), value, rtol=1e-6)


def test_overviews_in_uint8_are_off_by_half_a_step_at_most():
    value = np.random.default_rng(0).standard_normal((5, 7)) * 3
    value[2, 3] = np.nan
    step = np.nanmax(value) - np.nanmin(value)
    back = round_trip(value, "uint8")
    assert np.isnan(back[2, 3])
    assert np.nanmax(np.abs(back - value)) <= step / 254 / 2 * 1.001
    assert round_trip(np.array([np.inf, 0.0, 4.0]), "uint8").tolist() == [4.0, 0.0, 4.0]


def test_constant_and_empty_arrays():
    codes, scale, offset = quantise(np.full((2, 2), 5.0))
    assert codes.max() < NAN_CODE
    assert offset == 5.0
    assert scale > 0
    assert round_trip(np.zeros((0, 3)), "uint8").shape == (0, 3)
    assert round_trip(np.zeros((2, 0))).shape == (2, 0)


def test_buffers_are_numbered_in_order_at_any_depth():
    plain, buffers = pack({"tiles": [{"v": np.ones(2)}, {"v": np.zeros(3)}], "text": "</script>"})
    assert [t["v"]["$buffer"] for t in plain["tiles"]] == [0, 1]
    assert [len(b) for b in buffers] == [8, 12]
    assert plain["text"] == "</script>"


def test_what_has_no_place_in_a_message_is_named():
    with pytest.raises(TypeError, match="cannot carry object"):
        pack({"x": object()})
    with pytest.raises(TypeError, match="complex"):
        pack(np.ones(2, dtype=complex))
    with pytest.raises(TypeError, match="int32"):
        pack(Array(np.array([2**40]), "int32"))


def test_errors_say_what_to_do():
    error = ValueError("layer 9")
    error.hint = "there are 3"
    assert error_payload(error) == {
        "message": "layer 9",
        "hint": "there are 3",
        "type": "ValueError",
    }
    assert error_payload(KeyError("row"))["message"] == "missing 'row'"
    assert error_payload(RuntimeError())["message"] == "RuntimeError"
