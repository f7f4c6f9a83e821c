"""Prints mean score and highest tiles of games of 2048, from a fixed player or an evaluation."""

from mukoe.commands.main import run_command

if __name__ == "__main__":
    run_command("tiles_2048")
