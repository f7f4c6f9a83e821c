"""Sweep of MuZero on CartPole: which settings learn with the fewest environment steps."""

from mukoe.sweeps.config import Choice, Integer, SweepConfig, Uniform


def get_config() -> SweepConfig:
    """Returns a sweep with a budget of 5,000 steps, in which the shipped settings are half way.

    The final return of a long budget is 500 for most settings, so that it does not rank them; the
    mean over a short one does.
    """
    return SweepConfig(
        config="cartpole",
        space={
            "agent.optimizer.learning_rate": Uniform(3e-4, 1e-2, log=True),
            "agent.search.num_simulations": Choice((8, 16, 25)),
            "agent.loss.td_steps": Integer(3, 20),
            "agent.replay.samples_per_insert": Uniform(16.0, 128.0, log=True),
        },
        overrides={
            "run.max_actor_steps": "5000",
            "run.evaluation_period": "500",
            "run.evaluation_episodes": "10",
        },
    )
