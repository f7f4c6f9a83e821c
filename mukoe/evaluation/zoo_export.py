"""Export of a run's agent to the zoo, and the table of the zoo."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import mukoe
from mukoe.configuration.plain import class_name, is_importable, to_dict
from mukoe.configuration.workdir import CONFIG_FILE, VERSION, stored_command
from mukoe.errors import UserError
from mukoe.evaluation.episodes import EvaluationConfig, environment_name, evaluate, summary
from mukoe.layouts.common.stored_run import StoredRun
from mukoe.learning.stored_leaves import to_host
from mukoe.system import write_atomically
from mukoe.types import EpisodeResult
from mukoe.zoo.entries import (
    PARAMETERS_FILE,
    PREFIX,
    Certificate,
    checksum,
    is_entry,
    pack_parameters,
    write_certificate,
)

TABLE_HEADER = (
    *("name", "agent", "environment", "score [95 % interval]"),
    *("opponent", "won / drawn / lost", "kB"),
)
_NAME = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*")


def export(
    run: StoredRun,
    name: str,
    config: EvaluationConfig,
    zoo: Path,
    on_result: Callable[[EpisodeResult], None] = lambda _: None,
) -> Certificate:
    """Evaluates the agent of a run, and writes it as an entry of the zoo.

    An entry holds the parameters that the agent acts with, without optimiser, target network and
    replay. An entry of the same name is replaced.

    Args:
      run: run with the parameters of a checkpoint.
      name: name of the entry: lower-case words, joined by underscores.
      config: settings of the evaluation.
      zoo: folder of the entries.
      on_result: callback for each finished episode.

    Raises:
      UserError: the configuration needs its config file, the parameters are too large, or the
        name or a setting is invalid.
    """
    if not _NAME.fullmatch(name):
        raise UserError(f"the name of an entry is like connect_four, not {name!r}")
    if is_entry(run.workdir):
        raise UserError(f"{run.workdir.name} is in the zoo already: give the workdir of a run")
    if not is_importable(run.config):
        raise UserError(
            f"the configuration of {run.workdir} has classes of its config file: move them to a "
            "module that can be imported"
        )
    content = _pack(run)
    found = summary(evaluate(run, config, on_result))
    del found["workdir"]
    certificate = _certify(run, name, config, found, content)
    _write(zoo / name, run, content, certificate)
    return certificate


def _pack(run: StoredRun) -> bytes:
    leaves, arrays = to_host(run.params)
    for leaf in leaves:
        if leaf.kind != "array" or leaf.dtype == "bfloat16":
            raise UserError(f"{leaf.path} is of type {leaf.dtype}, which an entry cannot hold")
    return pack_parameters({leaf.path: arrays[str(i)] for i, leaf in enumerate(leaves)})


def _certify(
    run: StoredRun,
    name: str,
    config: EvaluationConfig,
    evaluation: Mapping[str, Any],
    content: bytes,
) -> Certificate:
    command = stored_command(run.workdir)
    return Certificate(
        name=name,
        agent=type(run.config.agent).__name__.removesuffix("Config"),
        environment=environment_name(run),
        seed=run.config.run.seed,
        argv=_portable(command.get("argv", []), run.workdir),
        trained_with={"python": command.get("python", "unknown"), **command.get("versions", {})},
        learner_steps=int(run.params.learner_steps),
        actor_steps=run.counts.get("actor_steps"),
        evaluated_with=mukoe.__version__,
        max_steps=config.max_steps or run.config.run.evaluation_max_steps,
        evaluation=evaluation,
        size=len(content),
        sha256=checksum(content),
    )


def _portable(argv: Sequence[str], workdir: Path) -> list[str]:
    """Returns a command line whose workdir is in `runs/`, without folders of a machine."""
    folder = str(workdir.resolve().parent)
    return [part.replace(folder, "runs") for part in argv]


def _write(folder: Path, run: StoredRun, content: bytes, certificate: Certificate) -> None:
    kind = class_name(type(run.config))
    stored = {"version": VERSION, "class": kind, "config": to_dict(run.config)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / CONFIG_FILE, json.dumps(stored, indent=2) + "\n")
        (folder / PARAMETERS_FILE).write_bytes(content)
        write_certificate(folder, certificate)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}") from error


def table_rows(certificates: Sequence[Certificate]) -> list[list[str]]:
    """Returns the cells of the table of the zoo, a row per entry."""
    return [
        [
            PREFIX + certificate.name,
            certificate.agent,
            certificate.environment,
            _score(certificate.evaluation),
            _opponent(certificate.evaluation),
            _games(certificate.evaluation),
            f"{certificate.size / 1000:.0f}",
        ]
        for certificate in certificates
    ]


def markdown_table(certificates: Sequence[Certificate]) -> str:
    """Returns the table of the zoo as Markdown."""
    rows = [TABLE_HEADER, ["---"] * len(TABLE_HEADER), *table_rows(certificates)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _score(evaluation: Mapping[str, Any]) -> str:
    low, high = evaluation["ci95"]
    numbers = [
        f"{x:.0f}" if abs(x) >= 1_000 else f"{x:.4g}" for x in (evaluation["mean"], low, high)
    ]
    return f"{numbers[0]} [{numbers[1]}, {numbers[2]}]"


def _opponent(evaluation: Mapping[str, Any]) -> str:
    """Returns the opponent with its simulations per move; empty without an opponent."""
    simulations = evaluation.get("opponent_simulations")
    text = evaluation["opponent"] or ""
    return text if simulations is None else f"{text}, {simulations} simulations"


def _games(evaluation: Mapping[str, Any]) -> str:
    """Returns the numbers of games by their results; empty without an opponent."""
    if evaluation["opponent"] is None:
        return ""
    return " / ".join(str(evaluation[name]) for name in ("wins", "draws", "losses"))
