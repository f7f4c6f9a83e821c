"""Episodes and search trees of a run, as TensorBoard reads them."""

import dataclasses
import functools
import io
import itertools
import logging
import pickle
from xml.etree import ElementTree

import jax
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mukoe.acting.variables import VariableClient
from mukoe.layouts.common.counting import Counter
from mukoe.layouts.common.evaluator import Evaluator
from mukoe.layouts.common.experiment import check_experiment
from mukoe.viewing.tensorboard_episodes import TensorBoardEpisodes, drawn_experiment
from tests.layouts.tiny import tiny

EXPERIMENT = drawn_experiment(tiny(evaluation_episodes=2, evaluations_per_video=2))
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


def evaluate(workdir, counts, experiment=EXPERIMENT, should_stop=lambda: False):
    counter = Counter()
    variables = VariableClient(Source(), period_updates=0)
    evaluator = Evaluator(
        experiment, SPEC, variables, 5, workdir, NoCheckpoints(), counter, blocks_run=True
    )
    for count in counts:
        evaluator.evaluate({"actor_steps": count}, should_stop)
    evaluator.close()
    return counter.snapshot()[1]


def images_of(workdir):
    """Returns lists of (step, encoded picture) by tag."""
    accumulator = EventAccumulator(str(workdir / "tensorboard" / "pictures"))
    accumulator.Reload()
    return {
        tag: [(event.step, event.encoded_image_string) for event in accumulator.Images(tag)]
        for tag in accumulator.Tags()["images"]
    }


def without_rendering():
    class Plain:
        make_factory = tiny().environment.make_factory

    make_drawer = functools.partial(TensorBoardEpisodes, Plain)
    return dataclasses.replace(EXPERIMENT, make_drawer=make_drawer)


def test_tensorboard_gets_a_video_and_a_search_tree_every_second_evaluation(tmp_path):
    reports = evaluate(tmp_path, [100, 200, 300, 400, 500])
    images = images_of(tmp_path)
    assert images.keys() == {"evaluation/episode", "search/tree"}
    assert {tag: [step for step, _ in each] for tag, each in images.items()} == {
        tag: [200, 400] for tag in images
    }
    animation = Image.open(io.BytesIO(images["evaluation/episode"][0][1]))
    assert animation.format == "GIF" and animation.n_frames > 5
    tree = images["search/tree"][0][1].decode()
    ElementTree.fromstring(tree)
    assert tree.startswith("<svg ") and "search of the first step, after 200 steps" in tree
    assert reports["stage"] is None


@pytest.mark.parametrize(
    "run", [{"evaluations_per_video": 0}, {"loggers": ("csv",)}, {"evaluations_per_video": 3}]
)
def test_nothing_is_drawn_where_it_is_off_or_not_due(tmp_path, run):
    settings = dataclasses.replace(EXPERIMENT.run, **run)
    evaluate(tmp_path, [1, 2], dataclasses.replace(EXPERIMENT, run=settings))
    assert not (tmp_path / "tensorboard" / "pictures").exists()


def test_an_environment_that_cannot_be_drawn_has_search_trees_and_one_warning(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        evaluate(tmp_path, [1, 2, 3, 4], without_rendering())
    assert list(images_of(tmp_path)) == ["search/tree"]
    warnings = [r.getMessage() for r in caplog.records if "videos of episodes" in r.getMessage()]
    assert len(warnings) == 1 and "cannot be drawn" in warnings[0] and "\n" not in warnings[0]


def test_a_drawing_that_fails_ends_neither_evaluation_nor_run(tmp_path, caplog):
    class Failing(TensorBoardEpisodes):
        def draw(self, *unused):
            raise ValueError("no\nmemory")

    def make_drawer(*arguments):
        return Failing(tiny().environment, *arguments)

    with caplog.at_level(logging.WARNING):
        reports = evaluate(
            tmp_path, [1, 2, 3, 4], dataclasses.replace(EXPERIMENT, make_drawer=make_drawer)
        )
    (text,) = [r.getMessage() for r in caplog.records if "draw" in r.getMessage()]
    assert text.startswith("cannot draw an episode (ValueError: no memory); the run continues")
    assert reports["stage"] is None


def test_a_stopped_run_draws_no_further(tmp_path):
    drawer = EXPERIMENT.make_drawer(EXPERIMENT, SPEC)
    polls = itertools.count()
    (params,) = Source().get_variables(("policy",))
    drawer.draw(params, 7, tmp_path, lambda: next(polls) >= 3)
    drawer.close()
    assert next(polls) == 4 and not (tmp_path / "tensorboard").exists()


def test_a_slow_drawing_is_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr("mukoe.viewing.tensorboard_episodes._MAX_SECONDS", 0.0)
    drawer = EXPERIMENT.make_drawer(EXPERIMENT, SPEC)
    (params,) = Source().get_variables(("policy",))
    drawer.draw(params, 7, tmp_path, lambda: False)
    drawer.close()
    ((_, data),) = images_of(tmp_path)["evaluation/episode"]
    assert Image.open(io.BytesIO(data)).n_frames == 1


def test_the_constructor_of_a_drawer_is_sent_to_the_node_of_the_evaluator():
    assert pickle.loads(pickle.dumps(EXPERIMENT.make_drawer)).func is TensorBoardEpisodes
