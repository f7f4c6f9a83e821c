"""Properties and limits of the machine: devices, threads, memory, open files, compilation cache."""

import glob
import importlib.metadata
import importlib.util
import os
import resource
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mukoe.errors import UserError

_GIB = 1 << 30

_READ_AT_IMPORT: Mapping[str, Callable[[str], Any]] = {
    "JAX_PLATFORMS": str,
    "JAX_COMPILATION_CACHE_DIR": str,
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": float,
    "JAX_ENABLE_COMPILATION_CACHE": lambda value: value.lower() not in ("0", "false"),
}
"""Variables that JAX reads on import; it reads the others when the backend is initialised."""


def process_environment(threads: int = 0, cpu_only: bool = False) -> dict[str, str]:
    """Returns the environment variables of a process that uses JAX.

    Args:
      threads: number of threads that XLA may use on the CPU; 0 for the number of cores.
      cpu_only: True to leave accelerators to other processes.
    """
    cpu = cpu_only or not has_accelerator()
    xla_flags = os.environ.get("XLA_FLAGS", "").split()
    environment = {
        **_compilation_cache(cpu),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        # TensorFlow only moves data, inside Reverb.
        "TF_NUM_INTEROP_THREADS": "2",
        "TF_NUM_INTRAOP_THREADS": "1",
        # With one arena per gRPC thread, the memory of a server grows with the number of requests.
        "MALLOC_ARENA_MAX": "2",
    }
    if cpu_only:
        environment["JAX_PLATFORMS"] = "cpu"
    if cpu and not any("xla_backend_optimization_level" in flag for flag in xla_flags):
        # Compiles a MuZero update in two thirds of the time of the default, 3; its run time is
        # the same.
        xla_flags.append("--xla_backend_optimization_level=1")
    if threads:
        environment |= {"NPROC": str(threads), "OMP_NUM_THREADS": str(threads)}
    if threads == 1:
        xla_flags.append("--xla_cpu_multi_thread_eigen=false")
    return {**environment, "XLA_FLAGS": " ".join(xla_flags)}


def _compilation_cache(cpu: bool) -> dict[str, str]:
    """Returns the variables of JAX's persistent compilation cache, which is off where unsafe.

    With jaxlib 0.5.3 on the CPU, executables loaded from the cache, a search among them, can
    compute wrong numbers without an error.
    """
    version = tuple(int(part) for part in importlib.metadata.version("jax").split(".")[:2])
    if cpu and version < (0, 6):
        return {"JAX_ENABLE_COMPILATION_CACHE": "false"}
    return {
        "JAX_COMPILATION_CACHE_DIR": str(Path.home() / ".cache" / "mukoe" / "xla"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.5",
    }


def set_process_environment(environment: Mapping[str, str]) -> None:
    """Sets the variables that the user has not set; called before the backend is initialised."""
    for name, value in environment.items():
        os.environ.setdefault(name, value)
    if jax := sys.modules.get("jax"):
        for name, parse in _READ_AT_IMPORT.items():
            if name in os.environ:
                jax.config.update(name.lower(), parse(os.environ[name]))


def allow_open_files(needed: int, what: str) -> None:
    """Raises the limit of open files of this process and of its child processes.

    Args:
      needed: number of files and connections that one of these processes may have open.
      what: noun phrase for the error message, such as `200 actors`.

    Raises:
      UserError: the hard limit is lower.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = [sys.maxsize if limit == resource.RLIM_INFINITY else limit for limit in (soft, hard)]
    if allowed[1] < needed:
        raise UserError(
            f"{what} need {needed} open files in a process, and this machine allows {hard}: use "
            "fewer, or raise the hard limit (ulimit -Hn)"
        )
    if allowed[0] < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def available_cores() -> int:
    """Returns the number of cores that this process may use."""
    # CPU affinity is available on Linux only.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_accelerator() -> bool:
    """Returns whether JAX would find an accelerator, without initialising it."""
    if os.environ.get("JAX_PLATFORMS", "").split(",")[0] == "cpu":
        return False
    gpu = glob.glob("/dev/nvidia[0-9]*") and any(
        importlib.util.find_spec(f"jax_cuda{version}_plugin") for version in (12, 13)
    )
    tpu = glob.glob("/dev/accel[0-9]*") + glob.glob("/dev/vfio/[0-9]*")
    return bool(gpu) or bool(tpu and importlib.util.find_spec("libtpu"))


def available_bytes() -> int | None:
    """Returns the memory available to this process in bytes, None where unknown (not Linux)."""
    limits = []
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                limits.append(int(line.split()[1]) * 1024)
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):
        # A missing file, or "max": no limit.
        pass
    return min(limits) if limits else None


def check_fits(required: int, what: str, remedy: str, available: int | None = None) -> None:
    """Raises a UserError if more memory is required than available.

    Args:
      required: bytes.
      what: noun phrase for the error message.
      remedy: remedy for the error message.
      available: bytes; the memory available to this process by default.
    """
    if available is None:
        available = available_bytes()
    if available is not None and required > available:
        raise UserError(
            f"{what} needs {required / _GIB:.1f} GiB and {available / _GIB:.1f} GiB are "
            f"available; {remedy}"
        )


def write_atomically(path: Path, text: str) -> None:
    """Writes a temporary file and renames it, so that readers never see a partial file."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(beside, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
