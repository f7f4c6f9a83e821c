"""Advice from stored rows of logs, without a run."""

import dataclasses
import json

import pytest

from mukoe.configuration.workdir import prepare_workdir
from mukoe.errors import UserError
from mukoe.observability.advice.advice import advice_text, advise, summary_lines
from mukoe.observability.advice.changes import Ratios, find_changes
from mukoe.observability.advice.costs import Costs, measure_costs
from mukoe.observability.loggers.csv_logger import CsvLogger
from mukoe.observability.report.runs import load_run
from tests.observability.advice import bottlenecks

FEW, MANY = {"environment": 0.1, "network": 0.3, "tree": 0.6}, {"update": 0.9, "data": 0.1}


def workdir_with(
    folder, config=None, layout="local", acting=FEW, learning=MANY, seconds=(0.004, 0.004), **more
):
    """A workdir whose rows follow from seconds per step of actor and learner, of 0.01 in all.

    `more` are further columns of the actor.
    """
    config = config or bottlenecks.config()
    workdir = prepare_workdir(folder / "run", config, None, resume=False, launch={"layout": layout})
    rows = {"actor_0": (acting, "acting_seconds", seconds[0])}
    rows["learner"] = (learning, "learning_seconds", seconds[1])
    for label, (shares, name, each) in rows.items():
        logger = CsvLogger(workdir / "logs" / f"{label}.csv")
        for steps in (100, 200, 300):
            columns = {f"time_{part}": share for part, share in shares.items()}
            counts = {"actor_steps": steps, "learner_steps": steps}
            row = {**counts, **columns, name: each * steps, "wall_time": 5.0 + 0.01 * steps}
            logger.write({**row, **(more if label == "actor_0" else {})})
        logger.close()
    return workdir


def test_costs_are_seconds_per_agent_step(tmp_path):
    costs = measure_costs(load_run(workdir_with(tmp_path)))
    assert costs.seconds == pytest.approx(0.01) and not costs.parallel
    assert costs.parts["acting", "tree"] == pytest.approx(0.0024)
    assert costs.parts["learning", "update"] == pytest.approx(0.0036)
    assert costs.parts["run", "rest"] == pytest.approx(0.002)
    assert sum(costs.parts.values()) == pytest.approx(costs.seconds)
    # Half of the update of 0.0036 seconds saves 0.0018 of 0.01.
    assert costs.predict({("learning", "update"): 0.5}) == pytest.approx(0.0082)


def test_rows_before_a_restart_and_before_the_first_update_do_not_count(tmp_path):
    workdir = workdir_with(tmp_path)
    logger = CsvLogger(workdir / "logs" / "actor_0.csv")
    for steps, seconds, wall in ((400, 0.0, 90.0), (500, 0.5, 91.0)):
        logger.write({"actor_steps": steps, "acting_seconds": seconds, "wall_time": wall,
                      "learner_steps": steps, "time_tree": 1.0})  # fmt: skip
    logger.close()
    costs = measure_costs(load_run(workdir))
    assert costs.seconds == pytest.approx(0.01)
    assert costs.acting["tree"] == pytest.approx(0.005)


def test_a_slow_environment_is_named_and_waited_for_in_threads(tmp_path):
    acting = {"environment": 0.95, "network": 0.03, "tree": 0.02}
    workdir = workdir_with(tmp_path, acting=acting, seconds=(0.009, 0.0005), environment_cpu=0.01)
    advice = advise(load_run(workdir))
    assert advice.bound == "the environment, 85% of the time, of which it waits 99%"
    best = advice.best[0]
    assert best.flags == "--layout=sebulba --config.sebulba.threads_per_device=4"
    waits = 0.009 * 0.95 * 0.99
    assert best.seconds == pytest.approx(max(0.01 - waits, 0.009 / 4))


def test_an_environment_that_computes_gains_nothing_from_threads(tmp_path):
    workdir = workdir_with(tmp_path, acting={"environment": 1.0}, environment_cpu=1.0)
    changes = advise(load_run(workdir)).changes
    threads = next(change for change in changes if "threads" in change.flags)
    assert threads.seconds == pytest.approx(0.01)


def test_small_batches_are_named_by_what_larger_ones_cost(tmp_path):
    workdir = workdir_with(tmp_path, seconds=(0.001, 0.008))
    asked = []

    def measure(overrides):
        asked.append(dict(overrides))
        return Ratios(1.0, 0.3)

    advice = advise(load_run(workdir), measure)
    assert "the learner's update, 72%" in advice.bound
    assert "small batches of 16 sequences" in advice.bound
    change = next(c for c in advice.changes if "batch_size" in c.flags)
    assert change.flags == "--config.agent.replay.batch_size=64"
    assert change.seconds == pytest.approx(0.01 - 0.7 * 0.008)
    assert {"agent.replay.batch_size": "64"} in asked
    assert any("agent.network.width" in overrides for overrides in asked)
    assert "small batches" not in advise(load_run(workdir), lambda _: Ratios(1.0, 0.9)).bound


def test_a_wide_network_is_named_and_a_smaller_one_and_a_smaller_search_are_advised(tmp_path):
    acting = {"environment": 0.05, "network": 0.9, "tree": 0.05}
    workdir = workdir_with(tmp_path, acting=acting, seconds=(0.009, 0.0005))
    advice = advise(load_run(workdir), lambda o: Ratios(0.3 if "width" in str(o) else 1.0, 1.0))
    assert advice.bound.startswith("the network while acting, 81%")
    best = advice.best[0]
    assert best.flags.startswith("--config.agent.network.width=8")
    assert best.seconds == pytest.approx(0.01 - 0.7 * 0.009 * 0.95)
    search = next(c for c in advice.changes if "num_simulations=2" in c.flags)
    assert search.seconds == pytest.approx(0.01 - 0.4 * 0.009 * 0.95)  # 3 of 5 network calls


@pytest.mark.parametrize(
    ("acting", "learning", "bound"),
    [
        ({"waiting": 0.8, "tree": 0.2}, {"update": 1.0}, ("learning", "update")),
        ({"waiting": 0.02, "tree": 0.98}, {"waiting": 0.7, "update": 0.3}, ("acting", "tree")),
    ],
)
def test_of_actors_and_learner_in_parallel_the_one_that_never_waits_bounds_the_run(
    tmp_path, acting, learning, bound
):
    workdir = workdir_with(
        tmp_path, layout="sebulba", acting=acting, learning=learning, seconds=(0.02, 0.01)
    )
    costs = measure_costs(load_run(workdir))
    assert costs.parallel and costs.actors == 2 and costs.bound() == bound
    assert sum(v for k, v in costs.parts.items() if k[0] == bound[0]) == pytest.approx(0.01)
    other = next(key for key in costs.parts if key[0] != bound[0])
    assert costs.predict({other: 0.0}) == pytest.approx(0.01)


def test_a_program_takes_more_actors_until_the_cores_are_busy():
    costs = Costs("distributed", True, 2, 0.01, {"tree": 0.01}, {"update": 0.001})
    config = {"agent.replay.samples_per_insert": 1.0}
    few, many = (
        next(c for c in find_changes(costs, config, cores) if "actors" in c.flags)
        for cores in (2, 16)
    )
    assert many.flags == few.flags == "--num_actors=4"
    assert many.seconds == pytest.approx(0.005) and few.gain(costs) == pytest.approx(0.0)
    waits = dataclasses.replace(costs, acting={"environment": 0.01}, environment_cpu=0.0)
    assert find_changes(waits, config, 2)[0].seconds == pytest.approx(0.005)


def test_threads_are_counted_per_device():
    acting, learning = {"environment": 0.01}, {"update": 0.001}
    costs = Costs("sebulba", True, 4, 0.01, acting, learning, environment_cpu=0.0)
    (change,) = find_changes(costs, {"sebulba.threads_per_device": 2}, 8)
    assert change.flags == "--config.sebulba.threads_per_device=8"


def test_logs_that_are_too_short_are_refused(tmp_path):
    workdir = prepare_workdir(tmp_path / "run", bottlenecks.config(), None, resume=False)
    with pytest.raises(UserError, match="fewer than two rows"):
        advise(load_run(workdir))
    assert summary_lines(workdir, "mukoe advise") == []


def test_rows_without_measured_time_have_no_bound(tmp_path):
    workdir = workdir_with(tmp_path, layout="sebulba", seconds=(0.0, 0.0))
    assert summary_lines(workdir, "mukoe advise") == []


def test_the_summary_names_the_two_best_changes_and_the_text_all(tmp_path):
    workdir = workdir_with(tmp_path, seconds=(0.001, 0.008))
    first, second, third = summary_lines(workdir, "mukoe advise --workdir=x")
    assert first.startswith("bound by the learner's update")
    assert second.startswith("faster with --config.agent.replay.samples_per_insert=0.25 (+67%)")
    assert third.endswith("mukoe advise --workdir=x")
    text = advice_text(advise(load_run(workdir)))
    assert "  72%  learning  update" in text and "half of the updates" in text


def test_flags_that_are_advised_exist(tmp_path):
    """Every field is one of the configuration, and takes the value."""
    from mukoe.configuration.overrides import apply_overrides

    workdir = workdir_with(tmp_path, seconds=(0.004, 0.004))
    advice = advise(load_run(workdir), lambda _: Ratios(0.5, 0.5))
    overrides = [f for c in advice.changes for f in c.flags.split() if f.startswith("--config.")]
    assert len(overrides) >= 7
    for override in overrides:
        name, _, text = override.removeprefix("--config.").partition("=")
        apply_overrides(bottlenecks.config(), {name: text})
    assert json.loads((workdir / "config.json").read_text())["launch"] == {"layout": "local"}
