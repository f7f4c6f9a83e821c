"""Rates the checkpoints of a self-play run against each other and against fixed opponents."""

from mukoe.commands.main import run_command

if __name__ == "__main__":
    run_command("ladder")
