"""Haiku torsos and heads, value encoding, history, and the model containers."""

from mukoe.networks.distributions import (
    Categorical,
    Distribution,
    Gaussian,
    GaussianConfig,
    categorical_policy,
    gaussian_policy,
)
from mukoe.networks.history import (
    History,
    HistoryConfig,
    initial_history,
    input_spec,
    push,
    stack,
    stack_rows,
)
from mukoe.networks.models import (
    MuZeroNetworks,
    NetworkConfig,
    Prediction,
    make_muzero_networks,
)
from mukoe.networks.value_encoding import SupportConfig, ValueEncoding

__all__ = [
    "Categorical",
    "Distribution",
    "Gaussian",
    "GaussianConfig",
    "History",
    "HistoryConfig",
    "MuZeroNetworks",
    "NetworkConfig",
    "Prediction",
    "SupportConfig",
    "ValueEncoding",
    "categorical_policy",
    "gaussian_policy",
    "initial_history",
    "input_spec",
    "make_muzero_networks",
    "push",
    "stack",
    "stack_rows",
]
