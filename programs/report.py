"""Generates an HTML report that compares runs."""

from mukoe.commands.report import run

if __name__ == "__main__":
    run()
