"""Content and build instructions of the images of a program's nodes.

Launchpad's own instructions install `libpython3.10` with apt, which no current Debian has, and the
newest version of every package. Here the CPython image contains the library, and all versions are
locked.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import attr
from xmanager import xm

import mukoe
from mukoe.configuration.import_folders import copy_imported_files
from mukoe.errors import UserError
from mukoe.layouts.distributed.vertex.cluster import VertexClusterConfig
from mukoe.system import process_environment

BASE_IMAGE = "python:3.10-slim-bookworm"

_BOOTSTRAP = "bootstrap.txt"
_ENVIRONMENTS = {
    "cuda12": {
        # Without a GPU the node ends, instead of learning on the CPU.
        "JAX_PLATFORMS": "cuda,cpu",
        # Folder of the driver on Vertex AI.
        "LD_LIBRARY_PATH": "/usr/local/nvidia/lib:/usr/local/nvidia/lib64",
        "NVIDIA_VISIBLE_DEVICES": "all",
        "NVIDIA_DRIVER_CAPABILITIES": "compute,utility",
    },
    "tpu": {"JAX_PLATFORMS": "tpu,cpu"},
}


def locks_folder() -> Path:
    """Returns the folder of the lock files.

    Raises:
      UserError: mukoe was not installed from its source tree.
    """
    folder = Path(mukoe.__file__).parent.parent / "requirements"
    if not (folder / _BOOTSTRAP).is_file():
        raise UserError(
            f"images are built from mukoe's source tree, and there is no {folder / _BOOTSTRAP}: "
            "use a clone of the repository, installed by `make setup`"
        )
    return folder


@contextlib.contextmanager
def code_folder(cluster: VertexClusterConfig) -> Iterator[Path]:
    """Collects the files of the images beside the installed packages.

    They include the modules that were imported from the folder of the config file.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(locks_folder() / _BOOTSTRAP, folder)
        for package in (Path(mukoe.__file__).parent, *map(Path, cluster.packages)):
            if not package.is_dir():
                raise UserError(f"cluster.packages: there is no folder {str(package)!r}")
            ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
            shutil.copytree(package, folder / package.resolve().name, ignore=ignored)
        copy_imported_files(folder)
        yield folder


def with_instructions(container: xm.PythonContainer, platform: str) -> xm.PythonContainer:
    """Replaces Launchpad's instructions for a container by those that build."""
    name = Path(container.path).name
    (command,) = container.entrypoint.commands
    return attr.evolve(
        container,
        base_image=BASE_IMAGE,
        # Launchpad would kill a node 10 s after the stop request.
        entrypoint=xm.CommandList([f"exec {command} --lp_termination_notice_secs=-1"]),
        docker_instructions=instructions(name, platform),
    )


def instructions(name: str, platform: str) -> list[str]:
    """Returns the lines of a Dockerfile.

    Args:
      name: name of the folder in the build context with the code, a requirements.txt and a
        bootstrap.txt.
      platform: platform of JAX, 'cpu', 'cuda12' or 'tpu'.
    """
    environment = process_environment(cpu_only=True)
    if platform in _ENVIRONMENTS:
        tensorflow_variables = {k: v for k, v in environment.items() if k.startswith("TF_")}
        environment = {**tensorflow_variables, **_ENVIRONMENTS[platform]}
    environment["PYTHONUNBUFFERED"] = "1"
    # XManager's entry point uses it to wait for a TPU.
    tools = [f"RUN {_apt_get('netcat-openbsd')}"] if platform == "tpu" else []
    return [
        *tools,
        f"COPY {name}/{_BOOTSTRAP} {name}/requirements.txt /tmp/requirements/",
        "RUN python -m pip install --no-cache-dir --require-hashes "
        f"-r /tmp/requirements/{_BOOTSTRAP} && uv pip install --system --no-cache "
        "--require-hashes -r /tmp/requirements/requirements.txt",
        f"COPY {name}/ /{name}/",
        f"WORKDIR /{name}",
        *(f'ENV {variable}="{value}"' for variable, value in sorted(environment.items())),
    ]


def _apt_get(package: str) -> str:
    return (
        f"apt-get update && apt-get install --yes --no-install-recommends {package} "
        "&& rm -rf /var/lib/apt/lists/*"
    )
