"""Workdirs of commands on runs, and folders of what these write."""

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


def output_folder(given: str | None, workdir: Path, name: str = "") -> Path:
    """Returns the folder of a command's files.

    Args:
      given: flag --output; without a value it is a folder in the workdir of a run, or in the
        current folder for an agent of the zoo, which is part of the installation.
      workdir: directory of the run, or `zoo:NAME`.
      name: name of that folder; "" for the workdir or the current folder itself.

    Raises:
      UserError: there is no such agent in the zoo.
    """
    from mukoe.zoo import is_entry, resolve

    if given:
        return Path(given)
    return (Path() if is_entry(resolve(workdir)) else workdir) / name
