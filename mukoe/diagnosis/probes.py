"""Checks of installed packages, each in a process of its own.

An import can crash, block, or load libraries that do not fit those of another package.
"""

import dataclasses
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

TIMEOUT = 180.0
"""Seconds after which a probe is killed."""


NO_ANSWER = "no answer"
"""Start of the text of a probe that was killed."""


@dataclasses.dataclass(frozen=True)
class Probe:
    """Package that is tried.

    name: name of the part.
    purpose: commands and tasks that need it.
    code: program that imports the part, uses it once and prints one line.
    extra: extra of mukoe that installs it; empty for the core.
    """

    name: str
    purpose: str
    code: str
    extra: str = ""


class ProbeResult(NamedTuple):
    """Result of a probe: whether it succeeded, and the line that it printed or its error."""

    works: bool
    text: str


JAX = Probe(
    "JAX",
    "everything",
    "import jax, collections\n"
    "kinds = collections.Counter(f'{d.platform} {d.device_kind}' for d in jax.devices())\n"
    "jax.numpy.ones(8).sum().block_until_ready()\n"
    "print(jax.__version__, ', '.join(f'{n} x {kind}' for kind, n in kinds.items()))",
)
CORE = Probe(
    "core packages",
    "everything",
    "import haiku, mctx, optax, rlax, chex, orbax.checkpoint, gymnasium\n"
    "print(f'haiku {haiku.__version__}, optax {optax.__version__}')",
)
ALE = Probe(
    "Atari (ALE)",
    "make train, Atari games",
    "import ale_py\nfrom ale_py import roms\nale_py.ALEInterface()\n"
    "print(ale_py.__version__, len(roms.get_all_rom_ids()), 'games')",
)
REVERB = Probe(
    "Reverb",
    "--runtime=launchpad",
    "import importlib.metadata, reverb\nreverb.Server([reverb.Table.queue('q', 1)]).stop()\n"
    "print(importlib.metadata.version('dm-reverb'))",
    "distributed",
)
LAUNCHPAD = Probe(
    "Launchpad",
    "--runtime=launchpad",
    "import importlib.metadata, launchpad\nprint(importlib.metadata.version('dm-launchpad'))",
    "distributed",
)
ZEROMQ = Probe(
    "ZeroMQ",
    "--runtime=zeromq",
    "import cloudpickle, zmq\ncontext = zmq.Context()\n"
    "server, client = context.socket(zmq.PAIR), context.socket(zmq.PAIR)\n"
    "port = server.bind_to_random_port('tcp://127.0.0.1')\n"
    "client.connect(f'tcp://127.0.0.1:{port}')\nclient.send(b'')\n"
    "assert server.poll(10_000), 'no connection over 127.0.0.1'\n"
    "print(f'pyzmq {zmq.__version__}')",
    "distributed",
)

PROBES = (
    JAX,
    CORE,
    ALE,
    REVERB,
    LAUNCHPAD,
    ZEROMQ,
    Probe(
        "pgx",
        "board games, MinAtar",
        "import pgx\npgx.make('tic_tac_toe')\nprint(pgx.__version__)",
        "games",
    ),
    Probe("Box2D", "LunarLander", "import Box2D\nprint(Box2D.__version__)", "games"),
    Probe("MuJoCo", "control tasks", "import mujoco\nprint(mujoco.__version__)", "control"),
    Probe(
        "dm_control",
        "--env=dm_control:...",
        "import importlib.metadata\nfrom mukoe.environments import headless_rendering\n"
        "headless_rendering.choose_backend()\nfrom dm_control import suite\n"
        "print(importlib.metadata.version('dm_control'))",
        "control",
    ),
    Probe(
        "MiniGrid",
        "--env=MiniGrid-...",
        "import minigrid\nprint(minigrid.__version__)",
        "minigrid",
    ),
    Probe(
        "Minari",
        "data sets, --offline",
        "import h5py, minari\nprint(minari.__version__)",
        "datasets",
    ),
    Probe(
        "video",
        "watch --video",
        "import imageio, imageio_ffmpeg, PIL\nimageio_ffmpeg.get_ffmpeg_exe()\n"
        "print(f'imageio {imageio.__version__}')",
        "video",
    ),
    *(
        Probe(
            name,
            f"--log={name}",
            f"import importlib.metadata, {name}\nprint({name}.__version__)",
            "trackers",
        )
        for name in ("wandb", "mlflow", "trackio")
    ),
)
"""Probes of all parts, in the order of the table."""

RENDERING = Probe(
    "OpenGL",
    "pictures of MuJoCo",
    "from mukoe.environments import headless_rendering\n"
    "headless_rendering.require_rendering()\nprint(headless_rendering.choose_backend())",
    "control",
)
"""Probe that needs MuJoCo."""

_COMMAND = (
    "import os, signal\nsignal.alarm({seconds})\n"
    "os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')\n"
)


def run_probe(probe: Probe, timeout: float = TIMEOUT) -> ProbeResult:
    """Runs a probe in a process that ends after the timeout, however this process ends.

    Args:
      probe: package to try.
      timeout: seconds, at least 1.
    """
    code = _COMMAND.format(seconds=int(timeout)) + probe.code
    try:
        result = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=timeout + 5.0,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return ProbeResult(False, f"{NO_ANSWER} within {timeout:.0f} s")
    if result.returncode == 0:
        return ProbeResult(True, _last_line(result.stdout.splitlines()))
    if result.returncode == -signal.SIGALRM:
        return ProbeResult(False, f"{NO_ANSWER} within {timeout:.0f} s")
    if result.returncode < 0:
        return ProbeResult(False, f"crashed ({signal.Signals(-result.returncode).name})")
    error = _last_line(result.stderr.splitlines())
    if error.startswith("ModuleNotFoundError: No module named"):
        return ProbeResult(False, f"not installed ({error.split()[-1].strip(chr(39))})")
    return ProbeResult(False, error)


def _last_line(lines: Sequence[str]) -> str:
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
