"""Checks of an experiment and of its placement before the program starts."""

import dataclasses

import pytest

from mukoe import system as memory
from mukoe.acting.inference import InferenceConfig
from mukoe.agents.muzero.config import MuZeroConfig
from mukoe.agents.planning.config import PlanningReplayConfig
from mukoe.agents.planning.deterministic_model.builder import DeterministicModelBuilder
from mukoe.environments.gymnasium.config import GymnasiumConfig
from mukoe.errors import UserError
from mukoe.layouts import local
from mukoe.layouts.common.experiment import DistributedConfig, RunConfig, TrainingConfig
from mukoe.layouts.distributed.graph import MachineMemory, make_graph
from mukoe.layouts.distributed.placement import group_sizes
from mukoe.learning.reanalysis import ReanalyseConfig
from tests.configuration.fuzzed import HUGE

HUGE_REPLAY = MuZeroConfig(replay=PlanningReplayConfig(capacity=100_000_000))


class UnsplitBuilder(DeterministicModelBuilder):
    def make_policy(self, networks, environment_spec, evaluation=False):
        return super().make_policy(networks, environment_spec, evaluation).replace(split=None)


def make(builder=DeterministicModelBuilder, memory_of=None, **distributed):
    experiment = TrainingConfig(
        environment=GymnasiumConfig("CartPole-v1"),
        agent=MuZeroConfig(),
        run=RunConfig(envs_per_actor=8),
        distributed=DistributedConfig(**distributed),
    ).make_experiment()
    experiment = dataclasses.replace(experiment, builder=builder(MuZeroConfig()))
    return make_graph(experiment, memory_of)


def test_a_policy_without_parts_cannot_be_split():
    with pytest.raises(UserError, match="inference=split needs .* UnsplitBuilder does not make"):
        make(UnsplitBuilder, inference="split")
    make(UnsplitBuilder, inference="server")


def test_the_environments_of_an_actor_fit_into_a_batch():
    with pytest.raises(UserError, match="envs_per_actor 8 must not be above .* 4"):
        make(inference="server", server=InferenceConfig(max_batch_size=4))


@pytest.mark.parametrize(
    "port, bounds", [(0, "1 to 65535"), (-1, "1 to 65535"), (65535, "1 to 65534, .*")]
)
def test_ports_must_exist(port, bounds):
    with pytest.raises(UserError, match=f"prometheus_port must be from {bounds}, not {port}"):
        DistributedConfig(prometheus_port=port, num_inference_servers=2)


def test_a_replay_that_does_not_fit_is_refused(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 1 << 30)
    with pytest.raises(UserError, match="replay of 100000000 items needs .* lower the capacity"):
        make(lambda _: DeterministicModelBuilder(HUGE_REPLAY))


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"num_actors": HUGE}, f"a program of {HUGE + 1} nodes needs .* lower distributed"),
        ({"num_inference_servers": HUGE}, f"a program of {HUGE + 2} nodes needs"),
        ({"prefetch_size": HUGE}, f"learning from {HUGE + 1} x 64 sequences needs"),
    ],
)
def test_what_does_not_fit_is_refused(fields, message):
    with pytest.raises(UserError, match=message):
        make(**fields)


@pytest.mark.parametrize(
    ("num_replays", "message"),
    [(3, "3 must divide"), (64, r"64 must not be above the \d+ environments")],
)
def test_every_replay_has_a_part_of_the_items(num_replays, message):
    with pytest.raises(UserError, match=f"num_replays {message}"):
        make(num_replays=num_replays)


def test_machines_elsewhere_have_memory_of_their_own(monkeypatch):
    experiment = TrainingConfig(
        environment=GymnasiumConfig("CartPole-v1"),
        agent=MuZeroConfig(),
        distributed=DistributedConfig(num_actors=1000),
    ).make_experiment()
    monkeypatch.setattr(memory, "available_bytes", lambda: 1 << 30)
    with pytest.raises(UserError, match="a program of 1001 nodes needs"):
        make_graph(experiment)
    make_graph(experiment, lambda group: 1 << 30)
    with pytest.raises(UserError, match="replay of 100000 items needs"):
        make_graph(experiment, lambda group: 1 << (20 if group == "replay" else 30))


def test_items_of_reverb_cannot_be_rewritten():
    rewriting = MuZeroConfig(reanalyse=ReanalyseConfig(mode="replay"))
    with pytest.raises(UserError, match="reanalyse.mode=replay .* cannot be changed: train with"):
        make(lambda _: DeterministicModelBuilder(rewriting))
    experiment = TrainingConfig(
        environment=GymnasiumConfig("CartPole-v1"), agent=rewriting
    ).make_experiment()
    make_graph(experiment, in_process_replay=True)
    shards = dataclasses.replace(experiment.distributed, num_replays=2)
    with pytest.raises(UserError, match="rewrites one table, in one learner: leave --num_replays"):
        make_graph(dataclasses.replace(experiment, distributed=shards), in_process_replay=True)


@pytest.mark.parametrize(
    ("mode", "num_reanalysers", "message"),
    [
        ("nodes", 0, "mode=nodes needs reanalysers: set --num_reanalysers=1"),
        ("learner", 2, "2 reanalysers have no work with .*mode=learner"),
        ("none", 1, "1 reanalysers have no work with .*mode=none"),
    ],
)
def test_reanalysers_and_the_mode_of_the_agent_belong_together(mode, num_reanalysers, message):
    agent = MuZeroConfig(reanalyse=ReanalyseConfig(mode=mode))
    with pytest.raises(UserError, match=message):
        make(lambda _: DeterministicModelBuilder(agent), num_reanalysers=num_reanalysers)


def test_reanalysers_are_nodes_of_the_program():
    agent = MuZeroConfig(reanalyse=ReanalyseConfig(mode="nodes", fraction=0.75))
    graph = make(lambda _: DeterministicModelBuilder(agent), num_reanalysers=2)
    assert group_sizes(graph.experiment)["reanalyser"] == 2
    assert graph.experiment.builder.replay.reanalysed_items == 48
    with pytest.raises(UserError, match="mode=nodes needs the nodes of a program"):
        local.check(graph.experiment)


def test_searches_of_reanalysers_need_inference_servers_to_be_there():
    agent = MuZeroConfig(reanalyse=ReanalyseConfig(mode="nodes"))
    settings = {"num_reanalysers": 1, "reanalysis": "server"}
    with pytest.raises(UserError, match="reanalysis=server needs inference servers: set --infer"):
        make(lambda _: DeterministicModelBuilder(agent), inference="local", **settings)
    assert make(lambda _: DeterministicModelBuilder(agent), inference="server", **settings)


def test_unknown_memory_is_not_checked(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 1 << 30)
    memory_of = {"replay": MachineMemory.UNKNOWN}
    graph = make(
        lambda _: DeterministicModelBuilder(HUGE_REPLAY),
        memory_of=lambda group: memory_of.get(group, MachineMemory.THIS_MACHINE),
    )
    assert graph.replay_bytes > 1 << 30
    with pytest.raises(UserError, match="replay of 100000000 items needs"):
        make(
            lambda _: DeterministicModelBuilder(HUGE_REPLAY),
            memory_of=lambda group: MachineMemory.THIS_MACHINE,
        )


@pytest.mark.parametrize(
    ("mode", "distributed", "flag"),
    [
        ("none", {"num_replays": 2}, "--num_replays"),
        ("none", {"num_learners": 2}, "--num_learners"),
        ("nodes", {"num_reanalysers": 1}, "agent.reanalyse.mode=nodes"),
    ],
)
def test_a_divided_batch_has_no_demonstrations_in_the_in_process_replay(mode, distributed, flag):
    agent = MuZeroConfig(
        replay=PlanningReplayConfig(demonstration_fraction=0.25),
        reanalyse=ReanalyseConfig(mode=mode),
    )
    experiment = TrainingConfig(
        environment=GymnasiumConfig("CartPole-v1"),
        agent=agent,
        run=RunConfig(envs_per_actor=8),
        distributed=DistributedConfig(num_actors=2, **distributed),
    ).make_experiment()
    with pytest.raises(UserError, match=f"one replay node, .*: leave {flag} out"):
        make_graph(experiment, demonstrations="runs/other", in_process_replay=True)
