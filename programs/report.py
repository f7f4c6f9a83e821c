"""Generates an HTML report that compares runs."""

from mukoe.commands.main import run_command

if __name__ == "__main__":
    run_command("report")
