"""Required workdirs of commands on runs."""

from pathlib import Path

from absl import flags

from mukoe.errors import UserError


def required_workdir(workdir: "flags.FlagHolder[str | None]", example: str) -> Path:
    """Returns the workdir of a run.

    Args:
      workdir: flag --workdir.
      example: workdir that the error names.

    Raises:
      UserError: the flag is missing.
    """
    if not workdir.value:
        raise UserError(f"--workdir is missing; give the workdir of a run, such as {example}")
    return Path(workdir.value).expanduser()
