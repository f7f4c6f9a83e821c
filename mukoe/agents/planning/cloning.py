"""Behaviour cloning: the policy loss on the stored actions of demonstrations."""

import dataclasses
from typing import Literal, NamedTuple

import jax.numpy as jnp

from mukoe.configuration.bounds import NonNegativeFloat
from mukoe.configuration.fields import Validated
from mukoe.types import PerEntry, Sample


@dataclasses.dataclass(frozen=True)
class CloningConfig(Validated):
    """Behaviour cloning on sequences of demonstrations, which are all sequences with --offline."""

    # 'none'; 'beside': the cross-entropy with stored actions is added to that with search policies;
    # 'alone': it replaces that with search policies.
    mode: Literal["none", "beside", "alone"] = "none"
    # Weight of the cross-entropy with stored actions, a factor beside that of the policy loss.
    weight: NonNegativeFloat = 1.0


class PolicyWeights(NamedTuple):
    """Weights of the two targets of a policy, by sequence.

    search: `[B]` weight of the cross-entropy with the search policy.
    stored: `[B]` weight of the cross-entropy with the stored action.
    """

    search: PerEntry
    stored: PerEntry


def policy_weights(config: CloningConfig, sample: Sample) -> PolicyWeights | None:
    """Returns the weights of the policy's targets; None where only search policies count.

    Args:
      config: mode and weight.
      sample: batch, for its mask of demonstrations.
    """
    if config.mode == "none" or isinstance(sample.demonstrated, tuple):
        return None
    demonstrated = jnp.asarray(sample.demonstrated)
    search = 1.0 - demonstrated if config.mode == "alone" else jnp.ones_like(demonstrated)
    return PolicyWeights(search=search, stored=config.weight * demonstrated)
