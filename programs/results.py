"""Generates docs/results.md and its figures from the records in docs/evidence."""

from mukoe.commands.results import run

if __name__ == "__main__":
    run()
