"""Rounds of an actor thread of an agent with replay."""

import jax
import numpy as np

from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import PlanningReplayConfig, UnrollLossConfig
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.layouts.sebulba.collectors import make_collector_factory
from mukoe.networks.config import NetworkConfig
from mukoe.replay.declaration import row_spec
from mukoe.replay.in_process.replay import InProcessReplay
from mukoe.search.config import SearchConfig
from mukoe.types import PolicyParams
from tests.environments.gymnasium import workshop

CONFIG = MuZeroConfig(
    network=NetworkConfig(hidden_sizes=(8,), width=8, head_sizes=()),
    search=SearchConfig(algorithm="gumbel", num_candidates=4, num_simulations=2),
    loss=UnrollLossConfig(unroll_steps=1, td_steps=1),
    replay=PlanningReplayConfig(min_size=4, batch_size=8, sampler="uniform"),
)


def test_candidates_go_from_the_thread_to_the_sample():
    environment = GymnasiumConfig(workshop.NAME).make_factory()(0, 2, False)
    builder, spec = CONFIG.make_builder(), environment.spec
    networks = builder.make_networks(spec)
    policy, key = builder.make_policy(networks, spec), jax.random.PRNGKey(0)
    collector = make_collector_factory(builder, policy, 12)(environment, key)
    rollout = collector.collect(PolicyParams(networks.init(key), np.int32(0)))
    environment.close()
    rows = row_spec(spec, policy.extras_spec)
    replay = InProcessReplay(builder.replay, rows, num_streams=2, seed=0)
    for buffered in rollout.rows:
        buffered.replay(replay.make_adder())
    rows = replay.sample().rows
    candidates, acted = rows.extras["search_candidates"], rows.mask > 0
    assert candidates.shape == (*acted.shape, 4, 2) and acted.sum() > 8
    is_among = (candidates == rows.action[..., None, :]).all(-1).any(-1)
    assert is_among[acted].all()
    assert len(np.unique(rows.action[acted][:, 0])) > 4
