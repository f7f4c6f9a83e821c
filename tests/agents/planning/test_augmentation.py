"""Shifts against padded and cropped images; what an augmentation leaves alone."""

import jax
import numpy as np
import pytest

from mukoe.agents.planning.augmentation import AugmentationConfig, augment, shift_images

B, S, H, W, C, SHIFT = 3, 2, 6, 5, 4, 2


def images(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (B, S, H, W, C)).astype(np.uint8)


def cropped(image, rows, columns):
    padded = np.pad(image, ((SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)), mode="edge")
    return padded[SHIFT + rows : SHIFT + rows + H, SHIFT + columns : SHIFT + columns + W]


def test_shifts_are_crops_of_padded_images():
    shifts = np.random.default_rng(1).integers(-SHIFT, SHIFT + 1, (B, S, 2))
    found = np.asarray(shift_images(images(), shifts))
    assert found.dtype == np.uint8
    for b in range(B):
        for s in range(S):
            np.testing.assert_array_equal(found[b, s], cropped(images()[b, s], *shifts[b, s]))


@pytest.mark.parametrize("alike", [True, False])
def test_every_shift_occurs_and_unrolls_move_alike_on_request(alike):
    config = AugmentationConfig(shift=SHIFT)
    found = set()
    equal = []
    for seed in range(40):
        moved = np.asarray(augment(images(), jax.random.PRNGKey(seed), config, alike=alike))
        for b in range(B):
            each = [
                next(
                    (rows, columns)
                    for rows in range(-SHIFT, SHIFT + 1)
                    for columns in range(-SHIFT, SHIFT + 1)
                    if np.array_equal(moved[b, s], cropped(images()[b, s], rows, columns))
                )
                for s in range(S)
            ]
            found |= set(each)
            equal.append(each[0] == each[1])
    assert len(found) == (2 * SHIFT + 1) ** 2
    assert all(equal) == alike


def test_intensity_scales_an_image_by_one_factor():
    config = AugmentationConfig(intensity=0.05)
    found = np.asarray(augment(images(), jax.random.PRNGKey(0), config))
    factors = found / np.maximum(images() / 255, 1e-9)
    factors[images() == 0] = np.nan
    low, high = np.nanmin(factors, (2, 3, 4)), np.nanmax(factors, (2, 3, 4))
    np.testing.assert_allclose(low, high, rtol=1e-4)
    assert np.all(np.abs(low - 1) <= 0.1 + 1e-4)
    assert len(np.unique(low.round(4))) > B  # Two deviations may meet at the bound.


def test_vectors_and_a_config_of_zeros_change_nothing():
    vectors = np.ones((B, S, 7), np.float32)
    key = jax.random.PRNGKey(0)
    config = AugmentationConfig(shift=1, intensity=0.1)
    np.testing.assert_array_equal(augment(vectors, key, config), vectors)
    np.testing.assert_array_equal(augment(images(), key, AugmentationConfig()), images())
