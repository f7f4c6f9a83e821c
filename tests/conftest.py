"""What every test runs under, set before the first of them imports JAX."""

import functools
import gc
import importlib.metadata
import importlib.util
import os
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent

_ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    # Compilations are kept between runs; the cache's keys include versions and flags. Those of
    # single operations, too: each worker and each program needs hundreds of them.
    "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".cache" / "jax"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
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
# On the CPU, programs that JAX 0.5 loads from its cache can compute wrong numbers.
if importlib.metadata.version("jax").startswith("0.5."):
    _ENVIRONMENT["JAX_ENABLE_COMPILATION_CACHE"] = "false"
for _name, _value in _ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)


# A test file that imports one of these belongs to the distributed part. Ray Tune, which the
# environment of CPython 3.10 lacks, belongs to the core.
_NEEDS_DISTRIBUTED = re.compile(
    r"^(?:import |from |(?:\w+ = )?pytest\.importorskip\([\"'])"
    r"(?:launchpad|reverb|courier|ray(?!\.tune)|xmanager)\b",
    re.MULTILINE,
)
_MARKED = re.compile(r"\bmark\.(?:launchpad|distributed)\b")
HAS_DISTRIBUTED = all(importlib.util.find_spec(name) for name in ("reverb", "launchpad", "acme"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds `--part`, which selects tests by the packages that they need, and `--cpu-durations`."""
    parser.addoption(
        "--part",
        choices=["all", "core", "distributed"],
        default="all" if HAS_DISTRIBUTED else "core",
        help="core: no Reverb, Launchpad, Ray or XManager; distributed: only tests that need them",
    )
    parser.addoption(
        "--cpu-durations",
        type=int,
        default=0,
        metavar="N",
        help="show the N tests of most CPU time, that of their ended processes included",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves out the files of the other part; files with tests of both parts are kept."""
    if collection_path.suffix != ".py" or not collection_path.name.startswith("test_"):
        return None
    if config.option.part == "core" and _needs_distributed(collection_path):
        return True
    if config.option.part == "distributed" and not _needs_distributed(collection_path):
        return not _MARKED.search(collection_path.read_text()) or None
    return None


def pytest_report_header(config: pytest.Config) -> str:
    """Names the part that is tested."""
    return f"mukoe: part {config.option.part}"


def pytest_collection_finish() -> None:
    """Leaves what is imported out of garbage collections, and makes these rarer.

    Tracing allocates many objects and few cycles: the default thresholds cost it 10 %.
    """
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


_CPU_START = pytest.StashKey[float]()
_CPU_SECONDS = "cpu_seconds"


def _cpu_seconds() -> float:
    """Returns the CPU time of this process and of the ended ones that it started."""
    return sum(os.times()[:4])


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> None:
    """Notes the CPU time before the fixtures of a test."""
    item.stash[_CPU_START] = _cpu_seconds()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> None:
    """Adds the CPU time of a test to its last report."""
    if call.when == "teardown":
        seconds = _cpu_seconds() - item.stash[_CPU_START]
        item.user_properties.append((_CPU_SECONDS, seconds))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Prints the tests of most CPU time, and the sum of all."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    found = {
        report.nodeid: dict(report.user_properties)[_CPU_SECONDS]
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "teardown"
    }
    if count := config.option.cpu_durations:
        terminalreporter.section(f"most CPU time, of {sum(found.values()):.0f} s")
        for name in sorted(found, key=found.__getitem__, reverse=True)[:count]:
            terminalreporter.line(f"{found[name]:7.2f}s {name}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Selects the tests of the part, groups them for the workers, and puts the longest first.

    Programs of several processes run one at a time, in one worker, with the tests that import
    XManager, which takes long. Tests that share a trained run share a worker, too.
    """
    part = config.option.part
    if part != "all":
        others = [item for item in items if _part(item) != part]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if _part(item) == part]
    for item in items:
        path = str(item.path)
        if item.get_closest_marker("launchpad") or any(part in path for part in _ALONE):
            item.add_marker(pytest.mark.xdist_group(_PROGRAMS))
        elif any(part in path for part in _TRAINED):
            item.add_marker(pytest.mark.xdist_group("trained_runs"))
    items.sort(key=lambda item: _group(item) != _PROGRAMS)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Gives tests without a group the worker of their file, with its fixtures and compilations."""
    if config.getvalue("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadGroupScheduling

    class GroupOrFileScheduling(LoadGroupScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return super()._split_scope(nodeid).partition("::")[0]

    return GroupOrFileScheduling(config, log)


_ALONE = ("tests/integration", "tests/layouts/distributed/vertex")
_PROGRAMS = "programs"
_TRAINED = ("evaluation", "viewing", "tests/api", "test_evaluate", "test_ladder", "test_watch")


def _part(item: pytest.Item) -> str:
    is_marked = any(item.get_closest_marker(name) for name in ("launchpad", "distributed"))
    return "distributed" if is_marked or _needs_distributed(item.path) else "core"


@functools.cache
def _needs_distributed(path: Path) -> bool:
    """Returns whether a test file imports a package of the distributed part."""
    return bool(_NEEDS_DISTRIBUTED.search(path.read_text()))


def _group(item: pytest.Item) -> str | None:
    marker = item.get_closest_marker("xdist_group")
    return marker.args[0] if marker else None
