"""Generates docs/results.md and its figures from the records in docs/evidence."""

from mukoe.commands.main import run_command

if __name__ == "__main__":
    run_command("results")
