"""Plays chess as an engine of UCI."""

from mukoe.commands.main import run_command

if __name__ == "__main__":
    run_command("uci")
