"""The encoding against a NumPy oracle written from the papers, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from mukoe.errors import UserError
from mukoe.networks.value_encoding import (
    SupportConfig,
    ValueEncoding,
    signed_hyperbolic,
    signed_parabolic,
)

EPS = 0.001


def oracle_h(x):
    return np.sign(x) * (np.sqrt(np.abs(x) + 1) - 1) + EPS * x


def oracle_h_inverse(y):
    inner = (np.sqrt(1 + 4 * EPS * (np.abs(y) + 1 + EPS)) - 1) / (2 * EPS)
    return np.sign(y) * (inner**2 - 1)


def logits_of(probs):
    return jnp.log(probs)


POINTS = np.concatenate([[0.0], *(s * np.logspace(-6, 4.7, 60) for s in (-1, 1))])


def test_h_matches_the_definition():
    np.testing.assert_allclose(signed_hyperbolic(jnp.float32(POINTS)), oracle_h(POINTS), rtol=1e-6)


def test_h_inverse_matches_the_definition():
    y = oracle_h(POINTS)
    np.testing.assert_allclose(
        signed_parabolic(jnp.float32(y)), oracle_h_inverse(y), rtol=3e-6, atol=1e-12
    )


def test_h_inverse_undoes_h_near_zero_without_cancellation():
    x = jnp.float32([-1e-4, -1e-6, 1e-6, 1e-4, 1e-2])
    np.testing.assert_allclose(signed_parabolic(signed_hyperbolic(x)), x, rtol=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        SupportConfig(),
        SupportConfig(-10.0, 10.0, 21),
        SupportConfig(0.0, 3.0, 7, hyperbolic=False),
        SupportConfig(-1.0, 1.0, 2, hyperbolic=False),
    ],
)
def test_round_trip_over_the_range_ends_included(config):
    encoding = ValueEncoding(config)
    ends = np.array([config.minimum, config.maximum])
    low, high = oracle_h_inverse(ends) if config.hyperbolic else ends
    x = np.linspace(low, high, 501)
    probs = encoding.to_probs(jnp.float32(x))
    assert probs.shape == (501, config.num_bins)
    np.testing.assert_allclose(np.sum(probs, axis=-1), 1.0, atol=1e-6)
    assert np.max(np.sum(np.asarray(probs) > 0, axis=-1)) <= 2
    tolerance = 2e-5 * max(abs(low), abs(high))
    np.testing.assert_allclose(encoding.to_scalar(logits_of(probs)), x, atol=tolerance)


def test_end_bins_take_the_ends_and_everything_beyond():
    encoding = ValueEncoding(SupportConfig(-2.0, 2.0, 5, hyperbolic=False))
    probs = np.asarray(encoding.to_probs(jnp.float32([-2.0, -99.0, 2.0, 99.0])))
    expected = np.zeros((4, 5))
    expected[:2, 0] = 1.0
    expected[2:, 4] = 1.0
    np.testing.assert_array_equal(probs, expected)


def test_the_last_gap_below_the_top_bin_is_shared():
    encoding = ValueEncoding(SupportConfig(-2.0, 2.0, 5, hyperbolic=False))
    np.testing.assert_allclose(encoding.to_probs(jnp.float32(1.75)), [0, 0, 0, 0.25, 0.75])
    np.testing.assert_allclose(encoding.to_probs(jnp.float32(-1.75)), [0.75, 0.25, 0, 0, 0])


def test_hyperbolic_two_hot_by_hand():
    # h(3) = sqrt(4) - 1 + 0.003 = 1.003.
    encoding = ValueEncoding(SupportConfig(-2.0, 2.0, 5))
    np.testing.assert_allclose(
        encoding.to_probs(jnp.float32(3.0)), [0, 0, 0, 0.997, 0.003], atol=1e-6
    )


def test_encoding_agrees_with_rlax_where_rlax_is_exact():
    far = jnp.float32(POINTS[np.abs(POINTS) > 0.1])
    np.testing.assert_allclose(signed_hyperbolic(far), rlax.signed_hyperbolic(far), rtol=1e-5)
    y = rlax.signed_hyperbolic(far)
    np.testing.assert_allclose(signed_parabolic(y), rlax.signed_parabolic(y), rtol=2e-3)
    for config in (SupportConfig(hyperbolic=False), SupportConfig(-10.0, 20.0, 61, False)):
        bounds = config.minimum, config.maximum, config.num_bins
        x = jnp.float32(np.random.default_rng(0).uniform(*bounds[:2], 200))
        probs = ValueEncoding(config).to_probs(x)
        np.testing.assert_allclose(probs, rlax.transform_to_2hot(x, *bounds), atol=2e-4)
        decoded = ValueEncoding(config).to_scalar(logits_of(probs))
        np.testing.assert_allclose(
            decoded, rlax.transform_from_2hot(probs, *bounds), rtol=1e-5, atol=1e-4
        )


@pytest.mark.parametrize("shape", [(4, 1), (4, 600), (4, 601, 1)])
def test_logits_of_another_length_are_refused(shape):
    with pytest.raises(UserError, match=r"logits of a value support must have shape .*601\), not"):
        ValueEncoding(SupportConfig()).to_scalar(jnp.zeros(shape))


def test_leading_axes_are_kept():
    encoding = ValueEncoding(SupportConfig(-1.0, 1.0, 3))
    probs = encoding.to_probs(jnp.zeros((2, 4)))
    assert probs.shape == (2, 4, 3)
    assert encoding.to_scalar(probs).shape == (2, 4)
    assert encoding.to_probs(jnp.zeros(())).shape == (3,)


def test_uniform_logits_decode_to_the_middle():
    assert float(ValueEncoding(SupportConfig()).to_scalar(jnp.zeros(601))) == pytest.approx(
        0, abs=1e-4
    )


def test_decoding_has_finite_gradients():
    encoding = ValueEncoding(SupportConfig())
    gradient = jax.grad(lambda logits: encoding.to_scalar(logits))(jnp.zeros(601))
    assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize(
    "arguments, message",
    [((1.0, 1.0, 3), "minimum < maximum"), ((0.0, 1.0, 1), "num_bins must be at least 2, not 1")],
)
def test_impossible_supports_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        SupportConfig(*arguments)


@pytest.mark.parametrize("hyperbolic", [False, True])
def test_scalars_are_outside_beyond_half_a_bin(hyperbolic):
    encoding = ValueEncoding(SupportConfig(-2.0, 4.0, 7, hyperbolic))
    edges = jnp.float32([-2.51, -2.49, -2.0, 0.0, 4.0, 4.49, 4.51])
    x = signed_parabolic(edges) if hyperbolic else edges
    assert encoding.is_outside(x).tolist() == [True, False, False, False, False, False, True]
