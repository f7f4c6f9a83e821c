"""Environment variables, limits and files of processes."""

import importlib.metadata
import os
import subprocess
import sys

import pytest

from mukoe.system import process_environment


def test_cpu_processes_of_an_old_jax_load_no_compiled_programs(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "0.5.3")
    assert process_environment(cpu_only=True)["JAX_ENABLE_COMPILATION_CACHE"] == "false"
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "0.12.0.1")
    environment = process_environment(cpu_only=True)
    assert "JAX_COMPILATION_CACHE_DIR" in environment
    assert "JAX_ENABLE_COMPILATION_CACHE" not in environment


def test_threads_and_devices(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=x")
    environment = process_environment(threads=1, cpu_only=True)
    assert environment["NPROC"] == environment["OMP_NUM_THREADS"] == "1"
    assert environment["JAX_PLATFORMS"] == "cpu"
    assert environment["MALLOC_ARENA_MAX"] == "2"
    assert environment["XLA_FLAGS"].split() == [
        "--xla_dump_to=x",
        "--xla_backend_optimization_level=1",
        "--xla_cpu_multi_thread_eigen=false",
    ]
    assert "JAX_PLATFORMS" not in process_environment()
    assert "NPROC" not in process_environment()


PRINTS_WHAT_COUNTS = """
from mukoe.system import process_environment, set_process_environment
set_process_environment({
    "JAX_PLATFORMS": "cpu", "JAX_COMPILATION_CACHE_DIR": "/folder",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.5", "JAX_ENABLE_COMPILATION_CACHE": "false",
})
import jax
print(jax.config.jax_platforms, jax.config.jax_compilation_cache_dir,
      jax.config.jax_persistent_cache_min_compile_time_secs,
      jax.config.jax_enable_compilation_cache)
"""


@pytest.mark.parametrize("before", ["", "import jax"])
def test_variables_count_even_if_jax_was_imported_before(before, monkeypatch):
    for name in [name for name in os.environ if name.startswith("JAX_")]:
        monkeypatch.delenv(name)
    command = [sys.executable, "-c", before + PRINTS_WHAT_COUNTS]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.split() == ["cpu", "/folder", "0.5", "False"]


LIMITED = """
import resource, sys
from mukoe.errors import UserError
from mukoe.system import allow_open_files
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 1000))
try:
    allow_open_files(int(sys.argv[1]), "20 actors")
    print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
except UserError as error:
    print(error)
"""


def limit_after(needed):
    command = [sys.executable, "-c", LIMITED, str(needed)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize(("needed", "left"), [(90, 100), (100, 100), (101, 101), (1000, 1000)])
def test_open_files_are_allowed_up_to_the_limit_of_the_machine(needed, left):
    assert limit_after(needed) == str(left)


def test_more_open_files_than_the_machine_allows_are_refused():
    said = limit_after(1001)
    assert said.startswith("20 actors need 1001 open files in a process")
