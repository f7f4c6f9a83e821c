"""Checks an agent before it is tuned: rows, targets, supports, gradients, predictions, search."""

from mukoe.commands.main import run_command

if __name__ == "__main__":
    run_command("check")
