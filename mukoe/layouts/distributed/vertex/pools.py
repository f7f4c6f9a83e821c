"""Worker pools of a program, made by Launchpad and XManager: check, dry run, submission."""

import collections
import contextlib
import dataclasses
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import launchpad as lp
from google.cloud import aiplatform_v1
from launchpad.nodes.python import xm_docker
from xmanager import xm, xm_local
from xmanager.cloud import build_image, docker_lib, vertex

from mukoe.errors import UserError
from mukoe.layouts.distributed.runtimes.launchpad.standalone_node import StandaloneNode
from mukoe.layouts.distributed.vertex.images import with_instructions

JOB_FILE = "job.json"


@dataclasses.dataclass(frozen=True)
class Pool:
    """Worker pool: equal machines, each of which runs one node.

    name: name of the pool, such as `workerpool0`.
    nodes: nodes in the order of the machines.
    container: content of their image.
    requirements: resources and number of the machines.
    """

    name: str
    nodes: tuple[StandaloneNode, ...]
    container: xm.PythonContainer
    requirements: xm.JobRequirements

    def job(self) -> xm.Job:
        """Returns the job for XManager, with a placeholder for the image."""
        image = xm_local.executables.GoogleContainerRegistryImage(self.name, f"IMAGE-{self.name}")
        return xm.Job(executable=image, executor=xm_local.Vertex(self.requirements))

    def specification(self) -> aiplatform_v1.WorkerPoolSpec:
        """Returns Vertex AI's specification of the machines.

        Raises:
          UserError: XManager has no machine type with the required resources.
        """
        try:
            machine = vertex.get_machine_spec(self.job())
        except (KeyError, ValueError) as error:
            labels = ", ".join(lone.label for lone in self.nodes)
            raise UserError(f"no machine of Vertex AI is fit for {labels}: {error}") from error
        return aiplatform_v1.WorkerPoolSpec(
            machine_spec=machine,
            replica_count=self.requirements.replicas,
            container_spec=aiplatform_v1.ContainerSpec(image_uri=f"IMAGE-{self.name}"),
        )

    def summary(self) -> str:
        """Returns one line with the machines and the number of nodes by group."""
        machine = self.specification().machine_spec
        kind = machine.machine_type
        if machine.accelerator_count:
            kind += f" with {machine.accelerator_count} {machine.accelerator_type.name}"
        groups = collections.Counter(lone.label.partition("_")[0] for lone in self.nodes)
        nodes = ", ".join(f"{group} ({n})" if n > 1 else group for group, n in groups.items())
        return f"{self.name}  {self.requirements.replicas} x {kind}  {nodes}"


def make_pools(
    program: lp.Program,
    nodes: Mapping[str, Sequence[StandaloneNode]],
    resources: Mapping[str, lp.DockerConfig],
) -> list[Pool]:
    """Has Launchpad make the worker pools of a program, and checks them; submits nothing.

    Their build contexts are temporary folders of Launchpad, which exist as long as this process.

    Args:
      program: program of `make_program`.
      nodes: nodes of `standalone_nodes`.
      resources: hardware of `xm_resources`.

    Raises:
      UserError: Launchpad, XManager or Vertex AI cannot express them.
    """
    pools: list[Pool] = []
    # Launchpad would print that the program has been launched.
    with _collecting(pools, nodes), contextlib.redirect_stdout(io.StringIO()):
        try:
            lp.launch(program, launch_type="vertex_ai", xm_resources=dict(resources))
        except RuntimeError as error:
            raise UserError(f"this program cannot run on Vertex AI: {error}") from error
    for pool in pools:
        pool.specification()
    return pools


@contextlib.contextmanager
def _collecting(pools: list[Pool], nodes: Mapping[str, Sequence[StandaloneNode]]) -> Iterator[None]:
    """Collects the pools of Launchpad instead of submitting them."""
    known = {id(lone.node): lone for group in nodes.values() for lone in group}
    containers, experiments = xm_docker.to_docker_executables, xm_local.create_experiment

    def collect(
        members: Sequence[lp.PyNode], name: str, config: lp.DockerConfig
    ) -> list[tuple[xm.PythonContainer, xm.JobRequirements]]:
        alone = tuple(known[id(node)] for node in members)
        ((container, requirements),) = containers(alone, name, config)
        platform = Path(config.docker_requirements).stem.removeprefix("container-")
        pools.append(Pool(name, alone, with_instructions(container, platform), requirements))
        return [(container, requirements)]

    xm_docker.to_docker_executables = collect
    xm_local.create_experiment = lambda **_: contextlib.nullcontext(_NoExperiment())
    try:
        yield
    finally:
        xm_docker.to_docker_executables = containers
        xm_local.create_experiment = experiments


class _NoExperiment:
    """Placeholder of XManager's experiment that does nothing."""

    def package(self, packageables: Sequence[xm.Packageable]) -> list[None]:
        return [None for _ in packageables]

    def add(self, jobs: xm.JobGroup) -> None:
        del jobs


def write_pools(pools: Sequence[Pool], title: str, folder: Path) -> None:
    """Writes the job as FOLDER/job.json, and a build context for each pool.

    A build context is FOLDER/POOL with the Dockerfile; in job.json `IMAGE-POOL` stands for its
    image. `nodes` has the nodes of each pool with the name of the port that each serves.

    Raises:
      UserError: the folder is not empty, or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UserError(f"the folder of --dry_run must be empty, and {str(folder)!r} is not")
        for pool in pools:
            _write_context(pool, folder / pool.name)
        description = json.dumps(describe(pools, title), indent=2)
        (folder / JOB_FILE).write_text(description + "\n")
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}") from error


def describe(pools: Sequence[Pool], title: str) -> dict[str, Any]:
    """Returns the job in the form of Vertex AI's REST interface, and the nodes of each pool."""
    job = aiplatform_v1.CustomJob(
        display_name=title,
        job_spec=aiplatform_v1.CustomJobSpec(
            worker_pool_specs=[pool.specification() for pool in pools]
        ),
    )
    nodes = {
        pool.name: [
            {"node": lone.label, "port": next((a.name for a in lone.node.addresses), None)}
            for lone in pool.nodes
        ]
        for pool in pools
    }
    text = aiplatform_v1.CustomJob.to_json(
        job, use_integers_for_enums=False, including_default_value_fields=False
    )
    return {"job": json.loads(text), "nodes": nodes}


def _write_context(pool: Pool, folder: Path) -> None:
    """Writes the build context that XManager passes to Docker."""
    folder.mkdir()
    with contextlib.redirect_stdout(io.StringIO()):
        dockerfile = Path(build_image._create_dockerfile(pool.container, xm.SequentialArgs(), {}))
        entrypoint = Path(build_image._create_entrypoint(pool.container))
        docker_lib.prepare_directory(
            str(folder),
            pool.container.path,
            Path(pool.container.path).name,
            str(entrypoint),
            str(dockerfile),
        )
    for temporary in (dockerfile, entrypoint):
        temporary.unlink()


def submit(pools: Sequence[Pool], title: str) -> None:
    """Builds and uploads the images, and starts the job."""
    with xm_local.create_experiment(experiment_title=title) as experiment:
        jobs = {}
        for pool in pools:
            [image] = experiment.package(
                [
                    xm.Packageable(
                        executable_spec=pool.container, executor_spec=xm_local.Vertex.Spec()
                    )
                ]
            )
            jobs[pool.name] = xm.Job(executable=image, executor=xm_local.Vertex(pool.requirements))
        experiment.add(xm.JobGroup(**jobs))
