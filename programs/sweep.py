"""Searches for settings of an agent with Optuna."""

from mukoe.commands.main import run_command

if __name__ == "__main__":
    run_command("sweep")
