"""Groups of runs that differ in the seed only, and the names of the groups."""

import dataclasses

from mukoe.observability.report.groups import describe_differences, differing_fields, group_runs
from mukoe.observability.report.runs import load_run
from tests.observability.fake_runs import make_run


def test_seeds_of_one_config_are_a_group(tmp_path):
    runs = [
        load_run(make_run(tmp_path / f"{env}-{n}-{seed}", seed, n, env))
        for env, n, seed in (
            ("CartPole-v1", 16, 10),
            ("CartPole-v1", 4, 0),
            ("CartPole-v1", 16, 2),
            ("Acrobot-v1", 16, 0),
        )
    ]
    groups = group_runs(runs)
    assert [(group.name, [run.seed for run in group.runs]) for group in groups] == [
        ("CartPole-v1: num_simulations=16", [2, 10]),
        ("CartPole-v1: num_simulations=4", [0]),
        ("Acrobot-v1", [0]),
    ]


def test_differences_name_fields_shortly_and_leave_the_seed_out(tmp_path):
    first = load_run(make_run(tmp_path / "a", seed=0))
    second = load_run(make_run(tmp_path / "b", seed=1, num_simulations=50))
    assert differing_fields([first, second]) == ["agent.search.num_simulations"]
    assert describe_differences([first, second]) == ["num_simulations=16", "num_simulations=50"]


def test_groups_that_differ_much_are_called_after_their_folder(tmp_path):
    runs = [load_run(make_run(tmp_path / name)) for name in ("small", "large")]
    runs[1] = dataclasses.replace(runs[1], config=runs[1].config | dict.fromkeys("abcd", 1))
    assert [group.name for group in group_runs(runs)] == [
        "CartPole-v1: small",
        "CartPole-v1: large",
    ]
    assert describe_differences(runs)[1] == "a=1, b=1, c=1 and 1 more"
