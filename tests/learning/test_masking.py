"""Masked means."""

import numpy as np
import pytest

from mukoe.learning.masking import masked_mean


def test_the_mean_is_that_of_the_entries_with_mask_1():
    values = np.array([[1.0, 2.0], [3.0, 40.0]])
    assert masked_mean(values, np.array([[1.0, 1.0], [1.0, 0.0]])) == 2.0


def test_the_mean_of_nothing_is_0():
    assert masked_mean(np.ones(3), np.zeros(3)) == 0.0


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(AssertionError, match="assert_equal_shape"):
        masked_mean(np.ones((2, 1)), np.ones(2))
