"""Family tree and paired differences of forks in the report."""

import json

import pytest

from mukoe.observability.report.run_page import make_page
from mukoe.observability.report.runs import load_run
from tests.observability.fake_runs import make_run
from tests.observability.report.test_run_page import Page


def make_fork(workdir, origin, steps, **run):
    make_run(workdir, **run)
    fork = {"origin": str(origin.resolve()), "actor_steps": steps}
    (workdir / "fork.json").write_text(json.dumps(fork))
    return workdir


@pytest.fixture
def family(tmp_path):
    """An origin that ran on, two forks of it, and two forks of a run that is not shown."""
    origin = make_run(tmp_path / "origin", returns=(10.0, 20.0, 30.0, 40.0))
    other = tmp_path / "absent"
    more = {"num_simulations": 50}
    return [
        origin,
        make_fork(tmp_path / "more", origin, 2000, returns=(10.0, 20.0, 35.0, 47.0, 99.0), **more),
        make_fork(tmp_path / "ended", origin, 4000, returns=(10.0, 20.0, 30.0, 40.0, 9.0)),
        make_fork(tmp_path / "first", other, 1000, returns=(1.0, 2.0)),
        make_fork(tmp_path / "second", other, 1000, returns=(1.0, 5.0), **more),
    ]


def test_differences_are_those_of_the_evaluations_after_the_fork(family):
    page = Page(make_page([load_run(workdir) for workdir in family]))
    origin, more, _, first, second = map(str, family)
    assert page.tables["forks"][1:] == [
        [more, origin, "num_simulations=50", "6", "[5, 7]", "2 evaluations"],
        [second, first, "num_simulations=50", "3", "[3, 3]", "1 evaluation"],
        ["all", "–", "num_simulations=50", "4.5", "[3, 6]", "2 pairs"],
    ]


def test_the_tree_shows_every_fork_below_its_origin(family):
    text = make_page([load_run(workdir) for workdir in family])
    origin, more, ended, first, second = map(str, family)
    absent = str(family[0].parent / "absent")
    assert (
        f"<ul><li>{origin}<ul><li>{more} from 2,000 steps</li>"
        f"<li>{ended} from 4,000 steps</li></ul></li>"
        f"<li>{absent}<ul><li>{first} from 1,000 steps</li>"
        f"<li>{second} from 1,000 steps</li></ul></li></ul>"
    ) in text


def test_a_report_without_forks_has_no_section(family):
    assert "Forks" not in Page(make_page([load_run(family[0])])).text


def test_a_damaged_origin_is_noted(family):
    (family[1] / "fork.json").write_text('{"origin": 3}')
    run = load_run(family[1])
    assert run.origin is None
    assert "fork.json has no text 'origin' and number 'actor_steps'" in run.notes
