"""Settings of runs."""

import contextlib
import dataclasses

import dm_env
import numpy as np
import pytest
from dm_env import specs

from mukoe.environments.checks import EnvironmentFailedError
from mukoe.environments.sync_vector import vectorize
from mukoe.errors import UserError
from mukoe.layouts.common.experiment import RunConfig, check_experiment
from mukoe.types import MaskedObservation
from tests.layouts.tiny import tiny


def test_unknown_loggers_are_refused_with_the_nearest_name():
    with pytest.raises(UserError, match="unknown logger 'cvs': did you mean csv"):
        RunConfig(loggers=("cvs",))
    with pytest.raises(UserError, match="cannot import logger 'no_such_module:make'"):
        RunConfig(loggers=("csv", "no_such_module:make"))


@dataclasses.dataclass(frozen=True)
class CartConfig:
    """Environment with a fault in `reset`, in `step`, in its specs, or without one."""

    fault: str = ""

    def make_factory(self):
        return vectorize(lambda seed, evaluation: Cart(self.fault), "Cart")


class Cart(dm_env.Environment):
    closed = 0

    def __init__(self, fault):
        self.fault = fault

    def observation_spec(self):
        size = 0 if self.fault == "specs" else 1
        return MaskedObservation(specs.Array((size,), np.float32), specs.Array((3,), bool))

    def action_spec(self):
        return specs.DiscreteArray(3)

    def observe(self, method):
        mask = np.array([False, True, False])
        return MaskedObservation(np.zeros(2 if self.fault == method else 1, np.float32), mask)

    def reset(self):
        return dm_env.restart(self.observe("reset"))

    def step(self, action):
        assert action == 1
        if self.fault == "raise":
            raise KeyError("wheel")
        return dm_env.transition(0.0, self.observe("step"))

    def close(self):
        Cart.closed += 1


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        ("", None, ""),
        ("specs", UserError, "'observation' is empty"),
        ("reset", UserError, r"Cart, environment 0 .*got shape \(2,\)"),
        ("step", UserError, r"Cart, environment 0 .*got shape \(2,\)"),
        ("raise", EnvironmentFailedError, r"step\(\) raised KeyError: 'wheel'"),
    ],
)
def test_an_environment_is_stepped_once_before_the_agent_is_compiled(fault, kind, message):
    experiment = tiny(CartConfig(fault)).make_experiment()
    Cart.closed = 0
    with contextlib.nullcontext() if kind is None else pytest.raises(kind, match=message):
        check_experiment(experiment)
    assert Cart.closed == 1


def test_a_tracker_without_the_csv_files_that_it_sends_is_refused():
    with pytest.raises(UserError, match="set run.loggers to csv,tensorboard,wandb"):
        RunConfig(loggers=("tensorboard", "wandb"))
    assert RunConfig(loggers=("csv", "wandb")).loggers == ("csv", "wandb")
