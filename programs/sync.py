"""Sends what a run has not yet sent to its experiment trackers."""

from mukoe.commands.main import run_command

if __name__ == "__main__":
    run_command("sync")
