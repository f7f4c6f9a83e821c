"""Evaluations that are interrupted, and repeated by an evaluator with the restored state."""

import itertools

import jax
import numpy as np
import pytest

from mukoe.acting.variables import VariableClient
from mukoe.layouts.common.counting import Counter
from mukoe.layouts.common.evaluator import Evaluator
from mukoe.layouts.common.experiment import check_experiment
from mukoe.layouts.common.resume_limits import ResumeLimits
from tests.layouts.finished import rows_of
from tests.layouts.tiny import tiny

EXPERIMENT = tiny(evaluation_episodes=2).make_experiment()
SPEC = check_experiment(EXPERIMENT)


class Source:
    def get_variables(self, names):
        networks = EXPERIMENT.builder.make_networks(SPEC)
        learner = EXPERIMENT.builder.make_learner(jax.random.PRNGKey(0), networks, iter(()), SPEC)
        return learner.get_variables(names)


class NoCheckpoints:
    def best_score(self):
        return None

    def save_best(self, *unused):
        return True


def make(workdir):
    variables = VariableClient(Source(), period_updates=0)
    return Evaluator(EXPERIMENT, SPEC, variables, 5, workdir, NoCheckpoints(), Counter(), 10_000)


def evaluate(evaluator, *counts):
    for count in counts:
        evaluator.evaluate({"actor_steps": count})
        assert not evaluator.is_interrupted


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("uninterrupted")
    evaluator = make(workdir)
    evaluate(evaluator, 1, 2, 3)
    evaluator.close()
    return rows_of(workdir, "evaluator"), evaluator.state()


@pytest.mark.parametrize(
    "before, steps", [(0, 5), pytest.param(1, 0, marks=pytest.mark.slow), (1, 5)]
)
def test_a_restored_evaluator_repeats_an_interrupted_evaluation(tmp_path, expected, before, steps):
    interrupted = make(tmp_path)
    evaluate(interrupted, *range(1, before + 1))
    polls = itertools.count()
    interrupted.evaluate({"actor_steps": before + 1}, lambda: next(polls) >= steps)
    assert interrupted.is_interrupted
    interrupted.close()

    restored = make(tmp_path)
    restored.restore(interrupted.state(), ResumeLimits())
    assert restored.is_interrupted
    evaluate(restored, *range(before + 1, 4))
    restored.close()
    rows, state = expected
    assert rows_of(tmp_path, "evaluator") == rows
    assert state.keys() == restored.state().keys()
    for name, array in restored.state().items():
        np.testing.assert_array_equal(array, state[name], err_msg=name)
