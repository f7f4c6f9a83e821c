"""Checks of a machine: packages, devices, memory, files; and the commands that fix gaps."""

import glob
import os
import platform
import resource
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import mukoe
from mukoe.diagnosis import probes
from mukoe.diagnosis.probes import Probe, ProbeResult
from mukoe.system import available_bytes, available_cores

_GIB = 1 << 30

# Below these a part of `make train` can fail, with a message of its own.
_MIN_MEMORY = 4 * _GIB
_MIN_DISK = 2 * _GIB
_MIN_OPEN_FILES = 1024

_HAS_LAUNCHPAD = "3.10 on Linux x86-64"


class Check(NamedTuple):
    """Row of the table.

    part: name of the part.
    works: verdict; None for a limit that some runs reach.
    found: version, size or error.
    purpose: commands and tasks that need it.
    fix: command that closes the gap; empty for none.
    """

    part: str
    works: bool | None
    found: str
    purpose: str
    fix: str = ""


class Report(NamedTuple):
    """Checks of a machine, and whether `make train` runs."""

    checks: list[Check]
    trains: bool


def check_machine(
    finished: Callable[[], None] = lambda: None,
    run_probe: Callable[[Probe], ProbeResult] = probes.run_probe,
) -> Report:
    """Checks the machine; probes of packages run two at a time.

    Args:
      finished: called after each probe.
      run_probe: function that runs a probe.
    """

    def run(probe: Probe) -> ProbeResult:
        result = run_probe(probe)
        finished()
        return result

    with ThreadPoolExecutor(2) as pool:
        results = dict(zip(probes.PROBES, pool.map(run, probes.PROBES), strict=True))
    by_name = {probe.name: result for probe, result in results.items()}
    if by_name["MuJoCo"].works:
        results[probes.RENDERING] = run(probes.RENDERING)
    checks = [_python(), *_packages(results), *_limits()]
    return Report(checks, _trains(results))


def _trains(results: Mapping[Probe, ProbeResult]) -> bool:
    """Returns whether the core, ALE and one of the runtimes work."""

    def work(*names: Probe) -> bool:
        return all(results[name].works for name in names)

    is_distributed = work(probes.REVERB, probes.LAUNCHPAD) or work(probes.ZEROMQ)
    return work(probes.JAX, probes.CORE, probes.ALE) and is_distributed


def _python() -> Check:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return Check("Python", True, found, "everything")


def _packages(results: Mapping[Probe, ProbeResult]) -> Iterator[Check]:
    for probe, (works, text) in results.items():
        fix = "" if works else _fix(probe, text)
        if probe is probes.JAX and works:
            fix = _missing_accelerator(text)
        yield Check(probe.name, works, text, probe.purpose, fix)


def _fix(probe: Probe, error: str) -> str:
    if error.startswith(probes.NO_ANSWER):
        return "mukoe doctor  (again, without other load)"
    if probe in (probes.REVERB, probes.LAUNCHPAD) and not _is_python_of_launchpad():
        return f"make setup  (Python {_HAS_LAUNCHPAD})"
    if probe is probes.RENDERING:
        return "sudo apt-get install libegl1 libgl1-mesa-dri"
    if probe.extra == "trackers" and probe.name != "mlflow" and sys.version_info < (3, 11):
        return "make setup-current  (Python 3.12)"
    if probe is probes.JAX and os.environ.get("JAX_PLATFORMS") and "not installed" not in error:
        return "unset JAX_PLATFORMS"
    return install_command(probe.extra)


def _is_python_of_launchpad() -> bool:
    machine = (platform.system(), platform.machine())
    return sys.version_info[:2] == (3, 10) and machine == ("Linux", "x86_64")


def _missing_accelerator(devices: str) -> str:
    """Returns the command that makes an unused accelerator usable; empty without one."""
    if " cpu" not in devices:
        return ""
    if os.environ.get("JAX_PLATFORMS", "").split(",")[0] == "cpu":
        has_any = glob.glob("/dev/nvidia[0-9]*") + glob.glob("/dev/accel[0-9]*")
        return "unset JAX_PLATFORMS" if has_any else ""
    if glob.glob("/dev/nvidia[0-9]*"):
        return install_command("cuda12")
    return install_command("tpu") if glob.glob("/dev/accel[0-9]*") else ""


def install_command(extra: str) -> str:
    """Returns the command that installs an extra, or the core, into this environment."""
    root = Path(mukoe.__file__).parents[1]
    suffix = f"[{extra}]" if extra else ""
    target = f"-e '{root}{suffix}'" if (root / "setup.cfg").exists() else f"'mukoe{suffix}'"
    if find_spec("pip") is None:
        return f"uv pip install --python {sys.executable} {target}"
    return f"{sys.executable} -m pip install {target}"


def _limits() -> Iterator[Check]:
    yield Check("cores", True, str(available_cores()), "everything")
    memory = available_bytes()
    if memory is not None:
        fits = True if memory >= _MIN_MEMORY else None
        fix = "" if fits else "make train ARGS=--num_actors=1"
        yield Check("memory", fits, f"{memory / _GIB:.1f} GiB available", "everything", fix)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    fits = True if hard == resource.RLIM_INFINITY or hard >= _MIN_OPEN_FILES else None
    limit = "unlimited" if hard == resource.RLIM_INFINITY else f"{hard:,}"
    fix = "" if fits else f"ulimit -Hn {_MIN_OPEN_FILES}"
    yield Check("open files", fits, f"{soft:,}, at most {limit}", "many actors", fix)
    yield _disk("temporary files", tempfile.gettempdir(), "export TMPDIR=DIRECTORY")
    yield _disk("this folder", os.getcwd(), "make train WORKDIR=DIRECTORY")
    if os.path.isdir("/dev/shm"):
        yield _disk("/dev/shm", "/dev/shm", "", 0)


def _disk(part: str, folder: str, fix: str, minimum: int = _MIN_DISK) -> Check:
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Check(part, None, str(error.strerror), folder, fix)
    fits = True if free >= minimum and os.access(folder, os.W_OK) else None
    found = f"{free / _GIB:.1f} GiB free"
    return Check(part, fits, found, folder, "" if fits else fix)


_STATES = {True: "yes", False: "no", None: "little"}


def to_text(report: Report, width: int) -> str:
    """Returns the table, and below it the command for each gap.

    Args:
      report: checks of a machine.
      width: columns of the terminal; the longest texts are cut, commands are not.
    """
    checks = report.checks
    part = max(len(check.part) for check in checks)
    purpose = max(len(check.purpose) for check in checks)
    room = max(width - part - 6 - 4 - 2 - purpose, 16)
    found = min(max(len(check.found) for check in checks), room)
    lines = [f"{'part':<{part}}  works   {'found':<{found}}  for"]
    for check in checks:
        text = check.found if len(check.found) <= found else f"{check.found[: found - 3]}..."
        state = _STATES[check.works]
        lines.append(f"{check.part:<{part}}  {state:<6}  {text:<{found}}  {check.purpose}".rstrip())
    commands: dict[str, list[str]] = {}
    for check in checks:
        if check.fix:
            commands.setdefault(check.fix, []).append(check.part)
    if commands:
        lines += ["", "gaps, each with the command that closes it:"]
        lines += [f"  {', '.join(parts)}\n    {fix}" for fix, parts in commands.items()]
    return "\n".join([*lines, "", f"make train runs here: {'yes' if report.trains else 'no'}"])
