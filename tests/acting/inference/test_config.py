import pytest

from mukoe.acting.inference import InferenceConfig
from mukoe.errors import UserError


@pytest.mark.parametrize(
    "field, value",
    [
        ("max_batch_size", 0),
        ("deadline_ms", -1.0),
        ("devices", -1),
        ("timeout_seconds", 0.0),
        ("give_up_seconds", 0.0),
    ],
)
def test_values_that_make_no_sense(field, value):
    with pytest.raises(UserError, match=f"InferenceConfig.{field} must .*, not {value}"):
        InferenceConfig(**{field: value})
