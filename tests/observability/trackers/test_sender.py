"""Content of what trackers receive, over resumes and errors of the service."""

import pytest

from mukoe.observability.trackers.sender import Sender
from tests.observability.trackers.fake_tracker import GIF, FakeService, add_rows, make_workdir

EVALUATION = (
    200,
    {"evaluation/episode_return": 9.0, "throughput/evaluator/wall_time": 3.0},
)
LEARNING = [
    (steps, {"loss/value_loss": 0.5, "throughput/learner/wall_time": wall_time})
    for steps, wall_time in ((100, 1.0), (200, 2.0))
]
VIDEO = (200, "evaluation/episode", GIF)


def sender(workdir, service):
    videos = workdir / "videos"
    videos.mkdir(exist_ok=True)
    return Sender(workdir, "fake", service, videos)


def test_a_run_is_sent_by_groups_over_environment_steps(tmp_path):
    workdir, service = make_workdir(tmp_path / "run"), FakeService()
    sender(workdir, service).finish()
    assert service.only_run == [EVALUATION, *LEARNING, VIDEO, ["7"], "finished"]


def test_the_node_is_in_the_name_where_several_nodes_have_a_metric(tmp_path):
    workdir, service = make_workdir(tmp_path / "run"), FakeService()
    for label in ("actor_0", "actor_1"):
        add_rows(workdir, label, [(100, 1.0)], root_value=0.25, episode_return=4.0)
    sender(workdir, service).send()
    names = [name for entry in service.only_run if len(entry) == 2 for name in entry[1]]
    assert {name for name in names if "actor" in name} == {
        f"{group}/actor_{number}/{name}"
        for number in (0, 1)
        for group, name in (
            ("search", "root_value"),
            ("training", "episode_return"),
            ("throughput", "wall_time"),
        )
    }


def test_a_run_on_stored_data_has_updates_as_axis(tmp_path):
    workdir, service = make_workdir(tmp_path / "run"), FakeService()
    (workdir / "logs" / "learner.csv").write_text("learner_steps,loss,wall_time\n5,1.5,2.0\n")
    sender(workdir, service).send()
    assert (
        5,
        {"loss/loss": 1.5, "throughput/learner/wall_time": 2.0}
        | {"throughput/learner/learner_steps": 5.0},
    ) in service.only_run


def test_a_later_process_continues_the_run_and_sends_only_new_rows(tmp_path):
    workdir, service = make_workdir(tmp_path / "run"), FakeService()
    sender(workdir, service).finish()
    count = len(service.only_run)
    # The run resumes from step 100 and repeats the rows up to 200.
    add_rows(workdir, "learner", [(150, 4.0), (200, 5.0), (300, 6.0)], value_loss=0.25)
    sender(workdir, service).finish()
    assert service.opened == 2
    steps = [entry[0] for entry in service.only_run[count:] if len(entry) == 2]
    assert steps == [200, 300]
    assert service.only_run[-1] == "finished" and ["7"] not in service.only_run[count:]


@pytest.mark.parametrize("calls", range(7))
def test_nothing_is_lost_and_nothing_sent_twice_when_the_service_fails_at_any_call(tmp_path, calls):
    workdir, service = make_workdir(tmp_path / "run"), FakeService(calls)
    with pytest.raises(RuntimeError):
        sender(workdir, service).finish()
    service.calls_until_error = 10**9
    sender(workdir, service).finish()
    entries = service.only_run
    for entry in (EVALUATION, *LEARNING, VIDEO):
        assert entries.count(entry) == 1
    assert ["7"] in entries and entries[-1] == "finished"
    assert service.opened <= 2
