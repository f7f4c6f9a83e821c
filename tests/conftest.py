"""What every test runs under, set before the first of them imports JAX."""

import importlib.metadata
import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent

_ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    # Compilations are kept between runs; the cache's keys tell versions and flags apart.
    "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".cache" / "jax"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.5",
    # Two workers on two cores: a pool of threads in each library would only wait for others.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    # Tests compile much and compute little.
    "XLA_FLAGS": "--xla_backend_optimization_level=0",
    "MPLBACKEND": "agg",
}
# On the CPU, programs that these versions load from the cache can compute wrong numbers.
HAS_COMPILATION_CACHE = not importlib.metadata.version("jax").startswith(("0.4.", "0.5."))
if not HAS_COMPILATION_CACHE:
    _ENVIRONMENT["JAX_ENABLE_COMPILATION_CACHE"] = "false"
for _name, _value in _ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)


def _compile_once() -> None:
    """Keeps what this process has compiled, for functions that are traced to the same program.

    Every test that trains makes its own functions; their compilation takes half of its time.
    """
    from jax._src import cache_key, compiler

    compile_anew = compiler.compile_or_get_cached
    executables: dict[str, Any] = {}

    def compile_once(
        backend: Any, program: Any, devices: Any, options: Any, callbacks: Any, *rest: Any
    ) -> Any:
        if callbacks:
            return compile_anew(backend, program, devices, options, callbacks, *rest)
        key = cache_key.get(program, devices, options, backend)
        if key not in executables:
            executables[key] = compile_anew(backend, program, devices, options, callbacks, *rest)
        return executables[key]

    compiler.compile_or_get_cached = compile_once


if not HAS_COMPILATION_CACHE:
    _compile_once()

DISTRIBUTED_NAMES = ("reverb", "launchpad", "distributed")
"""Files and folders of tests with such a name need the `distributed` extra."""

HAS_DISTRIBUTED = all(importlib.util.find_spec(name) for name in ("reverb", "launchpad", "acme"))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves out the tests that need the `distributed` extra where it is not installed."""
    del config
    if HAS_DISTRIBUTED:
        return None
    inside = collection_path.relative_to(ROOT) if collection_path.is_relative_to(ROOT) else ""
    return any(name in str(inside) for name in DISTRIBUTED_NAMES) or None


def pytest_report_header() -> str:
    """Says which part is tested."""
    part = "everything" if HAS_DISTRIBUTED else "the core; tests of Reverb and Launchpad left out"
    return f"mukoe: {part}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Says which tests one worker should run, and begins with those that take longest.

    Programs of several processes are tested one at a time; with them what needs XManager, which
    takes long to import. Tests that share a run that must be trained stay together, too.
    """
    for item in items:
        path = str(item.path)
        if item.get_closest_marker("launchpad") or any(part in path for part in _ALONE):
            item.add_marker(pytest.mark.xdist_group(_PROGRAMS))
        elif any(part in path for part in _TRAINED):
            item.add_marker(pytest.mark.xdist_group("trained_runs"))
    items.sort(key=lambda item: _group(item) != _PROGRAMS)


_ALONE = ("tests/integration", "tests/layouts/distributed/vertex")
_PROGRAMS = "programs"
_TRAINED = ("evaluation", "viewing", "test_evaluate", "test_ladder", "test_watch")


def _group(item: pytest.Item) -> str | None:
    marker = item.get_closest_marker("xdist_group")
    return marker.args[0] if marker else None
