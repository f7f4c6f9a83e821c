"""Job of Vertex AI for an experiment, submitted or written to a folder."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mukoe.configuration import prepare_workdir
from mukoe.layouts.common.experiment import ExperimentConfig
from mukoe.layouts.distributed.graph import make_graph
from mukoe.layouts.distributed.placement import place_inference
from mukoe.layouts.distributed.runtimes.launchpad.program import make_program
from mukoe.layouts.distributed.runtimes.launchpad.standalone_node import standalone_nodes
from mukoe.layouts.distributed.vertex import account as accounts
from mukoe.layouts.distributed.vertex.cluster import (
    VertexClusterConfig,
    xm_resources,
)
from mukoe.layouts.distributed.vertex.images import code_folder, locks_folder
from mukoe.layouts.distributed.vertex.pools import Pool, make_pools, submit, write_pools

_TITLE = "mukoe"


def run_files(config: Any, config_file: str) -> dict[str, str]:
    """Returns the files that describe the experiment of a workdir, as texts by name."""
    with tempfile.TemporaryDirectory() as folder:
        prepare_workdir(folder, config, config_file, resume=False)
        return {path.name: path.read_text() for path in Path(folder).iterdir()}


def write_dry_run(
    experiment: ExperimentConfig,
    cluster: VertexClusterConfig,
    files: Mapping[str, str],
    workdir: str,
    folder: Path,
) -> Sequence[Pool]:
    """Writes build contexts, Dockerfiles and the job; needs no network and no account.

    Args:
      experiment: agent, environment and settings.
      cluster: machines of the groups.
      files: files of `run_files`.
      workdir: directory of the run, `gs://BUCKET/PATH`.
      folder: folder of the output, empty or missing.

    Raises:
      UserError: Vertex AI cannot express the program, or the folder cannot be written.
    """
    pools = _pools(experiment, cluster, files, workdir)
    write_pools(pools, _TITLE, folder)
    return pools


def launch(
    experiment: ExperimentConfig,
    cluster: VertexClusterConfig,
    files: Mapping[str, str],
    workdir: str,
    account: accounts.Account,
    resume: bool,
) -> Sequence[Pool]:
    """Builds the images and starts the job; returns when Vertex AI has accepted it.

    Args:
      experiment: agent, environment and settings.
      cluster: machines of the groups.
      files: files of `run_files`.
      workdir: directory of the run, `gs://BUCKET/PATH`.
      account: account of `find_account`.
      resume: True to resume the run in the workdir.

    Raises:
      UserError: Vertex AI cannot express the program, or the workdir does not fit `resume`.
    """
    bucket, path = accounts.split_workdir(workdir)
    pools = _pools(experiment, cluster, files, workdir)
    accounts.check_workdir(account, bucket, path, resume)
    accounts.use(account, bucket, os.environ)
    submit(pools, _TITLE)
    return pools


def _pools(
    experiment: ExperimentConfig,
    cluster: VertexClusterConfig,
    files: Mapping[str, str],
    workdir: str,
) -> list[Pool]:
    mounted = accounts.mounted(*accounts.split_workdir(workdir))
    experiment = place_inference(experiment, cluster.inference.accelerator is not None)
    graph = make_graph(experiment, lambda group: int(getattr(cluster, group).memory_gib * 2**30))
    program, counter = make_program(graph, mounted, name=_TITLE)
    nodes = standalone_nodes(program, counter, mounted, files)
    with code_folder(cluster) as code:
        resources = xm_resources(cluster, program.groups, code, locks_folder())
        return make_pools(program, nodes, resources)
