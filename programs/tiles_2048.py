"""Prints mean score and highest tiles of games of 2048, from a fixed player or an evaluation."""

from mukoe.commands.tiles_2048 import run

if __name__ == "__main__":
    run()
