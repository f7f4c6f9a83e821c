"""Measures the errors of resignation in self-play games that are played out."""

from mukoe.commands.main import run_command

if __name__ == "__main__":
    run_command("resign")
