"""One process at a time trains in a workdir."""

import subprocess
import sys
from pathlib import Path

import pytest

from mukoe.configuration import load_config_file, prepare_workdir
from mukoe.configuration.exclusive_workdir import exclusive_workdir
from mukoe.errors import UserError
from mukoe.layouts.common.experiment import RunConfig
from mukoe.layouts.local.main_loop import run_to_end

CONFIG_FILE = Path(__file__).with_name("example_config.py")
HOLDER = """
import sys, time
from pathlib import Path
from mukoe.configuration.exclusive_workdir import exclusive_workdir
with exclusive_workdir(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_workdir_is_held_until_the_process_ends_however_it_ends(tmp_path):
    config = load_config_file(str(CONFIG_FILE))
    prepare_workdir(tmp_path, config, CONFIG_FILE, resume=False)
    files = {path: path.read_bytes() for path in tmp_path.iterdir()}
    holder = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match=f"another process trains in {tmp_path}: wait"):
            prepare_workdir(tmp_path, config, CONFIG_FILE, resume=True)
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == files
    finally:
        holder.kill()
        holder.communicate()
    prepare_workdir(tmp_path, config, CONFIG_FILE, resume=True)


def test_a_run_holds_its_workdir(tmp_path):
    def make_run(stops):
        with pytest.raises(UserError, match="another process"), exclusive_workdir(tmp_path):
            pass
        raise KeyError("made")

    with pytest.raises(KeyError, match="made"):
        run_to_end(make_run, "", RunConfig(), tmp_path)
    with exclusive_workdir(tmp_path), pytest.raises(UserError, match="another process"):
        run_to_end(make_run, "", RunConfig(), tmp_path)


def test_a_directory_that_cannot_be_locked_is_used(tmp_path, monkeypatch):
    def fail(*arguments):
        raise OSError("no locks available")

    monkeypatch.setattr("fcntl.flock", fail)
    with exclusive_workdir(tmp_path):
        pass
