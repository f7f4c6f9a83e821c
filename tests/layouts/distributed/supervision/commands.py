"""Commands as Launchpad makes them, and what runs them here."""

from typing import NamedTuple

from mukoe.layouts.distributed.supervision.process import LocalProcess


class Command(NamedTuple):
    command_as_list: list
    env_overrides: dict
    title: str


def start_locally(command, environment, log_path):
    """A `ProcessStarter`: a process of its own."""
    variables = {**command.env_overrides, **environment}
    return LocalProcess(command.command_as_list, variables, log_path)
