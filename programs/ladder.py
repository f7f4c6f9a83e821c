"""Rates the checkpoints of a self-play run against each other and against fixed opponents."""

from mukoe.commands.ladder import run

if __name__ == "__main__":
    run()
