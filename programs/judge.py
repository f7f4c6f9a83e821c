"""Judges the moves of a Connect Four agent by the perfect solver."""

from mukoe.commands.main import run_command

if __name__ == "__main__":
    run_command("judge")
