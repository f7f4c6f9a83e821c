"""Nodes on TCP need a secret."""

import pytest

pytest.importorskip("zmq")

from tests.programs.forked import run_program  # noqa: E402

SECRET = "0123456789abcdef"


def test_flags_of_whole_programs_are_refused(tmp_path):
    flags = ["--node=actor/0", f"--workdir={tmp_path}/run", f"--fork={tmp_path}/origin"]
    result = run_program("run_node.py", *flags)
    assert result.returncode == 2
    assert "error: --fork is for the start of a whole program, not of a node" in result.stderr


@pytest.mark.parametrize(
    ("secret", "error"),
    [
        (None, "needs --secret_file=FILE, the same for all nodes"),
        ("short", "has 5 bytes, at least 16 are needed"),
        (SECRET, "there is no 'CLUSTER_SPEC'"),
    ],
)
def test_a_node_on_tcp_needs_a_secret(tmp_path, secret, error):
    flags = [f"--workdir={tmp_path}/run", "--node=actor/0", "--inference=local"]
    if secret is not None:
        (tmp_path / "secret").write_text(secret)
        flags.append(f"--secret_file={tmp_path}/secret")
    result = run_program("run_node.py", "--runtime=zeromq", *flags)
    assert result.returncode == 2
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert error in line
    assert not (tmp_path / "run").exists()
