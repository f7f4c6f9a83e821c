"""The graph before it runs: who asks which server, and what does not fit."""

import collections
import dataclasses

import pytest

pytest.importorskip("launchpad")

from mukoe import system as memory  # noqa: E402
from mukoe.acting.inference import InferenceConfig  # noqa: E402
from mukoe.agents.muzero.builder import MuZeroBuilder  # noqa: E402
from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import PlanningReplayConfig  # noqa: E402
from mukoe.environments.gymnasium.config import GymnasiumConfig  # noqa: E402
from mukoe.errors import UserError  # noqa: E402
from mukoe.layouts.common.experiment import (  # noqa: E402
    DistributedConfig,
    RunConfig,
    TrainingConfig,
)
from mukoe.layouts.distributed.runtimes.launchpad.program import (  # noqa: E402
    check,
    make_program,
    servers_of,  # noqa: E402
)
from tests.configuration.fuzzed import HUGE  # noqa: E402


class UnsplitBuilder(MuZeroBuilder):
    def make_policy(self, networks, environment_spec, evaluation=False):
        return super().make_policy(networks, environment_spec, evaluation).replace(split=None)


def make(tmp_path, builder=MuZeroBuilder, **distributed):
    experiment = TrainingConfig(
        environment=GymnasiumConfig("CartPole-v1"),
        agent=MuZeroConfig(),
        run=RunConfig(envs_per_actor=8),
        distributed=DistributedConfig(**distributed),
    ).make_experiment()
    experiment = dataclasses.replace(experiment, builder=builder(MuZeroConfig()))
    return make_program(experiment, check(experiment), tmp_path)


def test_actors_are_spread_over_the_servers_and_over_those_that_are_left():
    orders = [servers_of(actor, "abc") for actor in range(12)]
    assert all(sorted(order) == ["a", "b", "c"] for order in orders)
    assert collections.Counter(order[0] for order in orders) == {"a": 4, "b": 4, "c": 4}
    for dead in "abc":
        orphans = collections.Counter(order[1] for order in orders if order[0] == dead)
        assert set(orphans.values()) == {2}
    assert servers_of(5, "a") == ["a"]
    assert servers_of(5, "") == []


@pytest.mark.parametrize("inference, groups", [("local", 0), ("server", 2), ("split", 2)])
def test_there_are_servers_where_somebody_asks_them(tmp_path, inference, groups):
    program, _ = make(tmp_path, inference=inference, num_inference_servers=2)
    assert len(program.groups.get("inference", ())) == groups


def test_a_policy_without_parts_cannot_be_split(tmp_path):
    with pytest.raises(UserError, match="inference=split needs .* UnsplitBuilder does not make"):
        make(tmp_path, UnsplitBuilder, inference="split")
    make(tmp_path, UnsplitBuilder, inference="server")


def test_the_environments_of_an_actor_fit_into_a_batch(tmp_path):
    with pytest.raises(UserError, match="envs_per_actor 8 must not be above .* 4"):
        make(tmp_path, inference="server", server=InferenceConfig(max_batch_size=4))


@pytest.mark.parametrize(
    "port, bounds", [(0, "1 to 65535"), (-1, "1 to 65535"), (65535, "1 to 65534, .*")]
)
def test_ports_must_exist(port, bounds):
    with pytest.raises(UserError, match=f"prometheus_port must be from {bounds}, not {port}"):
        DistributedConfig(prometheus_port=port, num_inference_servers=2)


def test_a_replay_that_does_not_fit_is_refused(tmp_path, monkeypatch):
    config = MuZeroConfig(replay=PlanningReplayConfig(capacity=100_000_000))
    monkeypatch.setattr(memory, "available_bytes", lambda: 1 << 30)
    with pytest.raises(UserError, match="replay of 100000000 items needs .* lower the capacity"):
        make(tmp_path, lambda _: MuZeroBuilder(config))


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"num_actors": HUGE}, f"a program of {HUGE + 1} nodes needs .* lower distributed"),
        ({"num_inference_servers": HUGE}, f"a program of {HUGE + 2} nodes needs"),
        ({"prefetch_size": HUGE}, f"learning from {HUGE + 1} x 64 sequences needs"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, fields, message):
    with pytest.raises(UserError, match=message):
        make(tmp_path, **fields)


def test_machines_elsewhere_have_memory_of_their_own(monkeypatch):
    experiment = TrainingConfig(
        environment=GymnasiumConfig("CartPole-v1"),
        agent=MuZeroConfig(),
        distributed=DistributedConfig(num_actors=1000),
    ).make_experiment()
    monkeypatch.setattr(memory, "available_bytes", lambda: 1 << 30)
    with pytest.raises(UserError, match="a program of 1001 nodes needs"):
        check(experiment)
    check(experiment, lambda group: 1 << 30)
    with pytest.raises(UserError, match="replay of 100000 items needs"):
        check(experiment, lambda group: 1 << (20 if group == "replay" else 30))


def test_a_replay_that_is_too_large_to_be_saved_says_so(tmp_path, capsys):
    experiment = TrainingConfig(
        environment=GymnasiumConfig("CartPole-v1"),
        agent=MuZeroConfig(),
        run=RunConfig(replay_checkpoint_gib=1e-3),
    ).make_experiment()
    make_program(experiment, check(experiment), tmp_path)
    assert "a resumed run will fill it anew" in capsys.readouterr().err
