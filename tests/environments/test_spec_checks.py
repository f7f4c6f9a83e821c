"""Specs at the edges of what agents support: one line each."""

import numpy as np
import pytest
from dm_env import specs

from mukoe.environments.spec_checks import LARGEST, check_spec, find_too_large, narrow
from mukoe.errors import UserError
from mukoe.types import EnvironmentSpec, MaskedObservation

VECTOR = specs.Array((3,), np.float32)
SPEC = EnvironmentSpec(
    observations=VECTOR,
    actions=specs.DiscreteArray(2),
    rewards=specs.Array((), np.float32),
    discounts=specs.BoundedArray((), np.float32, 0, 1),
)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"observations": specs.Array((), np.float32)}, r"is a scalar; give it shape \(1,\)"),
        ({"observations": specs.DiscreteArray(4)}, "a scalar; .* one-hot vector"),
        ({"observations": specs.Array((0,), np.float32)}, r"'observation' is empty: .*\(0,\)"),
        ({"observations": {"a": VECTOR, "b": specs.Array((2, 0), int)}}, "'b' is empty"),
        ({"observations": {}}, "the observation has no array"),
        ({"observations": specs.Array((3,), np.complex64)}, "dtype complex64; supported are real"),
        ({"observations": specs.StringArray((3,))}, "dtype object; supported are real"),
        ({"actions": specs.DiscreteArray(10_001)}, "10001 actions; supported are at most 10000"),
        ({"actions": specs.BoundedArray((0,), np.float32, -1, 1)}, "actions must be a dm_env"),
        ({"actions": specs.BoundedArray((), np.float32, -1, 1)}, "actions must be a dm_env"),
        ({"actions": specs.BoundedArray((2,), np.float64, -1, 1)}, "actions must be a dm_env"),
        ({"actions": specs.Array((2,), np.float32)}, "actions must be a dm_env"),
        ({"rewards": specs.Array((2,), np.float32)}, "reward must be a scalar; .*shape"),
        (
            {"observations": MaskedObservation(VECTOR, specs.Array((3,), bool))},
            r"legal_actions must have shape \(2,\), dtype bool; got shape \(3,\)",
        ),
        (
            {"observations": MaskedObservation(VECTOR, specs.Array((2,), np.int8))},
            "dtype bool; got shape .*int8",
        ),
        (
            {
                "observations": MaskedObservation(VECTOR, specs.Array((2,), bool)),
                "actions": specs.BoundedArray((2,), np.float32, -1, 1),
            },
            "a legal-action mask needs discrete actions",
        ),
    ],
)
def test_unsupported_specs(fields, message):
    with pytest.raises(UserError, match=f"^cart: .*{message}") as error:
        check_spec(SPEC._replace(**fields), "cart")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"observations": specs.Array((1,), np.float64)},
        {"observations": specs.BoundedArray((4, 4, 3), np.uint8, 0, 255)},
        {"observations": specs.Array((2,), bool)},
        {"observations": {"a": specs.Array((), np.int64), "b": VECTOR}},
        {"observations": MaskedObservation({"a": VECTOR}, specs.Array((2,), bool))},
        {"actions": specs.DiscreteArray(1)},
        {"actions": specs.BoundedArray((1,), np.float32, -1, 1)},
    ],
)
def test_supported_specs(fields):
    check_spec(SPEC._replace(**fields), "cart")


@pytest.mark.parametrize(
    "dtype", [np.float64, np.float32, np.float16, np.int64, np.uint64, np.int32, np.uint8, bool]
)
def test_extremes_are_narrowed_without_change_or_found(dtype):
    dtype = np.dtype(dtype)
    narrowed = narrow(np.zeros(1, dtype)).dtype
    assert narrowed.itemsize <= 4 and narrowed.kind == dtype.kind
    if dtype.kind == "f":
        extremes = [-LARGEST, LARGEST] if dtype.itemsize > 2 else [-65504, 65504]
    elif dtype.kind == "b":
        extremes = [False, True]
    else:
        extremes = [np.iinfo(str(narrowed)).min, np.iinfo(str(narrowed)).max]
    array = np.array(extremes, dtype)
    np.testing.assert_array_equal(narrow(array), array.astype(narrowed))
    assert find_too_large(array) is None
    if dtype.itemsize == 8 or dtype == np.float32:
        beyond = dtype.type(int(array[1]) * 2)
        assert find_too_large(np.array([[0, 0], [0, beyond]], dtype)) == (1, beyond)
