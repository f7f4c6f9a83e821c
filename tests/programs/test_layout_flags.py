"""Flags of another layout or runtime."""

import importlib.util

import pytest
from absl import flags

from mukoe.commands.layout_flags import check_demonstrations, check_layout_flags, check_offline
from mukoe.errors import UserError
from tests.programs.forked import run_program

OF_DISTRIBUTED = (
    "--num_actors=2",
    "--num_reanalysers=2",
    "--num_replays=2",
    "--num_learners=2",
    "--inference=server",
    "--runtime=zeromq",
    "--launcher=launchpad",
    "--ray_address=localhost:1",
    "--cluster=configs/cluster_ray.py",
    "--dry_run=folder",
    "--gcp_project=project",
)


def check(layout, *arguments, overrides=()):
    values = flags.FlagValues()
    names = {flag[2:].partition("=")[0] for flag in (*OF_DISTRIBUTED, "--gcp_service_account=x")}
    for name in {*names, "lp_launch_type", "gcp_location"}:
        flags.DEFINE_string(name, None, "As the program's.", flag_values=values)
    values(["program", *arguments])
    check_layout_flags(values, layout, overrides)


@pytest.mark.parametrize("layout", ["local", "sebulba"])
@pytest.mark.parametrize("flag", OF_DISTRIBUTED)
def test_flags_of_the_distributed_layout_name_it(layout, flag):
    with pytest.raises(UserError, match=f"{flag.partition('=')[0]} is for --layout=distributed"):
        check(layout, flag)
    check(layout)


@pytest.mark.parametrize(
    "arguments, missing",
    [
        (["--ray_address=local"], "--launcher=ray"),
        (["--cluster=configs/cluster_ray.py"], "--launcher=ray or --lp_launch_type=vertex_ai"),
        (["--dry_run=folder", "--launcher=ray"], "--lp_launch_type=vertex_ai"),
        (["--gcp_location=here", "--gcp_project=x"], "--lp_launch_type=vertex_ai"),
    ],
)
def test_flags_of_another_runtime_name_it(arguments, missing):
    with pytest.raises(UserError, match=f"(is|are) for {missing}: add {missing}"):
        check("distributed", *arguments)


def test_flags_of_the_layout_and_runtime_are_accepted():
    check(
        "distributed", "--num_actors=2", "--inference=local", overrides=["distributed.x", "run.x"]
    )
    check("distributed", "--launcher=ray", "--ray_address=local", "--cluster=x.py")
    check("sebulba", overrides=["sebulba.staleness"])


@pytest.mark.parametrize(
    "layout, field",
    [
        ("local", "distributed.num_actors"),
        ("local", "sebulba.staleness"),
        ("sebulba", "distributed.server.batch_size"),
        ("distributed", "sebulba.staleness"),
    ],
)
def test_fields_of_another_layout_name_it(layout, field):
    group = field.partition(".")[0]
    with pytest.raises(
        UserError, match=f"--config.{field} is for --layout={group}, not .*{layout}"
    ):
        check(layout, overrides=["agent.discount", field])


@pytest.mark.parametrize("layout", ["sebulba", "distributed"])
def test_stored_data_are_for_the_local_layout(layout):
    with pytest.raises(UserError, match=f"is for --layout=local, not --layout={layout}"):
        check_offline("/runs/a", layout, False, None)


def test_a_resumed_run_keeps_its_data():
    check_offline("/runs/a", "local", False, None)
    check_offline("/runs/a", "local", True, "/runs/a")
    with pytest.raises(UserError, match="learns from its actors: leave --offline out"):
        check_offline("/runs/a", "local", True, None)
    with pytest.raises(UserError, match="learns from /runs/b: leave --offline out"):
        check_offline("/runs/a", "local", True, "/runs/b")


def test_demonstrations_are_beside_actors_and_stay_those_of_the_run():
    source = "/runs/a"
    for layout in ("local", "distributed"):
        check_demonstrations(source, layout, None, False, None)
        check_demonstrations(source, layout, None, True, "/runs/a")
    for changed, message in [
        ({"layout": "sebulba"}, "--layout=local or --layout=distributed, not --layout=sebulba"),
        ({"offline": "/runs/b"}, "--offline has none: give one of them"),
        ({"resumes": True}, "has no demonstrations: leave --demonstrations out"),
        ({"resumes": True, "stored": "/runs/b"}, "has demonstrations of /runs/b: leave"),
    ]:
        valid = {"layout": "local", "offline": None, "resumes": False, "stored": None}
        with pytest.raises(UserError, match=message):
            check_demonstrations(source, **{**valid, **changed})


def test_the_launch_type_of_the_default_layout_is_refused(tmp_path):
    workdir = tmp_path / "run"
    result = run_program("launch.py", "--lp_launch_type=local_mp", f"--workdir={workdir}")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "error: --lp_launch_type is for --layout=distributed, not --layout=local: add "
        "--layout=distributed, or leave it out\n"
    )
    assert not workdir.exists()


def test_a_run_in_a_bucket_is_not_resumed_with_another_config():
    """The default config would replace that of the run."""
    result = run_program("launch.py", "--resume", "--workdir=gs://bucket/runs/x")
    assert (result.returncode, result.stdout) == (2, "")
    assert "needs the flags of the first command, with --config=FILE" in result.stderr
    assert len(result.stderr.splitlines()) == 1


HAS_LAUNCHPAD = importlib.util.find_spec("launchpad") is not None


@pytest.mark.skipif(HAS_LAUNCHPAD, reason="Launchpad is installed")
def test_launchpad_that_is_missing_is_named(tmp_path):
    flags = ("--layout=distributed", "--runtime=launchpad")
    result = run_program("launch.py", *flags, f"--workdir={tmp_path}/run")
    assert result.returncode == 2
    assert result.stderr.startswith("error: Launchpad and Vertex AI need Python 3.10 on Linux")
    assert not (tmp_path / "run").exists()


@pytest.mark.distributed
@pytest.mark.skipif(
    not HAS_LAUNCHPAD, reason="Launchpad, which defines the launch type, is missing"
)
def test_zeromq_does_not_run_on_vertex(tmp_path):
    flags = ("--layout=distributed", "--runtime=zeromq", "--lp_launch_type=vertex_ai")
    result = run_program("launch.py", *flags, f"--workdir={tmp_path}/run")
    assert result.returncode == 2
    assert result.stderr.startswith("error: --runtime=zeromq does not run on Vertex AI")


def test_ray_that_is_missing_is_named(tmp_path):
    config = tmp_path / "without_ray.py"
    config.write_text(
        "import sys\nfrom mukoe.configuration import load_config_file\nsys.modules['ray'] = None\n"
        "def get_config():\n    return load_config_file('cartpole')\n"
    )
    flags = ("--layout=distributed", "--runtime=zeromq", "--launcher=ray", f"--config={config}")
    result = run_program("launch.py", *flags, f"--workdir={tmp_path}/run")
    assert result.returncode == 2
    assert result.stderr.startswith(
        "error: --launcher=ray needs the extras 'ray' and 'distributed'"
    )
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()
